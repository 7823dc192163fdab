"""Stages 3 to 5: the base model, the MM-Diff adapter on it, or both together, by rectified flow.

A noisy latent is x = (1 - s) x0 + s e with s in (0, 1); the network learns the velocity e - x0. The base never sees a
photo; the adapter is trained on the frozen base, as in the paper; joint training is for machines too slow to do one
after the other.

B rows, S subjects, P photos of a subject.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.atomic_files import save_network
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.backbones.toybox import STUDENT_FOLDER
from mmdiff_core.encoders.prompt import find_words, stack_tokens, tokenize
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.generation.subject_embedding import encode_pixels
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.maps.constraints import LayerChoice, choose_layers, constraint_losses
from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures, PromptTokens
from mmdiff_core.output.image_grid import image_grid, shared_cell, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.training.optimizer import hidden_weights
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.cached_dataset import encode_latents
from mmdiff_core.training.toybox.recipes import ConditionMix, LossWeights
from mmdiff_core.training.toybox.samples import MAX_SUBJECTS, Samples, ToyDataset
from mmdiff_core.types import GenerateRequest, MapKind, Recording, Subject
from mmdiff_core.weights.adapter_file import save_adapter

SHEET_IMAGES = 8
MAX_TEXTS = 2**18  # whose tokens are remembered
ONE_PHOTO = 0.7  # share of the subjects of which one photo is seen; of the others all


@dataclass(frozen=True)
class FlowMatchingBatch:
    """What one step of training sees."""

    latents: Tensor  # (B, c, h, w)
    masks: Tensor  # (B, S, g, g) in [0, 1]
    tokens: PromptTokens  # words at -1 where a row is conditioned on its text alone
    photos: Tensor  # (B, S, P) bool, the photos that are seen
    references: Tensor | None = None  # (B, S, P, 3, R, R) in [0, 1]; None where features replace them
    features: ImageFeatures | None = None  # of all photos


class FlowMatchingLoss(nn.Module):
    """Loss terms of the diffusion model under a batch's conditions; the constraints act on the chosen layers.

    Its networks may be in bfloat16; noise, targets and loss terms stay in float32.

    Args:
        backbone, adapter: the networks.
        losses: weights of the terms.
        photos: whether the batches have photos.
        layers: those that the constraints act on.
        shared_scores: compute attention and its maps from one set of scores; False is slower, for comparison.
    """

    def __init__(
        self, backbone: StableDiffusion, adapter: MMDiffAdapter, losses: LossWeights, photos: bool,
        layers: LayerChoice = "all", shared_scores: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.unet, self.text_encoder, self.adapter = backbone.unet, backbone.text_encoders[0], adapter
        self.backbone, self.losses, self.photos, self.layers = backbone, losses, photos, layers
        self.shared_scores = shared_scores
        weights: dict[MapKind, float] = {"text": losses.text_constraint, "image": losses.image_constraint}
        self.constraints = {stream: weight for stream, weight in weights.items() if weight and photos}

    def forward(self, batch: FlowMatchingBatch) -> dict[str, Tensor]:
        clean = batch.latents
        noise = torch.randn_like(clean)
        # Logit-normal, and shifted: our latents are smooth, so that shapes shine through all but the strongest noise.
        sigma = (torch.randn(len(clean), device=clean.device) + math.log(self.losses.noise_shift)).sigmoid()
        noisy = torch.lerp(clean, noise, sigma[:, None, None, None])
        return self.terms(noisy, sigma, noise - clean, batch)

    def terms(self, noisy: Tensor, sigma: Tensor, target: Tensor, batch: FlowMatchingBatch) -> dict[str, Tensor]:
        """Return the loss terms of latents (B, c, h, w) at noise ``sigma`` (B,) whose velocity should be ``target``."""
        recorder = Recorder(Recording(tuple(self.constraints)), self.shared_scores) if self.constraints else None
        velocity = self._predict(noisy, sigma, batch, recorder)
        terms = {"denoise": self._denoising(velocity.float(), target, batch.masks)}
        if recorder is None:
            return terms
        layers, present = choose_layers(recorder.layers, self.layers), batch.photos.any(-1)
        return terms | constraint_losses(layers, self.constraints, batch.masks, present)

    def _denoising(self, velocity: Tensor, target: Tensor, masks: Tensor) -> Tensor:
        """Return the mean squared error; subjects are a fifth of an image and most of what there is to learn."""
        subjects = F.interpolate(masks.amax(1, keepdim=True), target.shape[-2:], mode="area")  # (B, 1, h, w)
        weight = 1 + (self.losses.subject_pixels - 1) * subjects
        return (weight * (velocity - target).square()).mean() / weight.mean()

    def _predict(self, noisy: Tensor, sigma: Tensor, batch: FlowMatchingBatch, recorder: Recorder | None) -> Tensor:
        height, width = noisy.shape[-2:]
        multiple = self.backbone.sizes.multiple
        condition = build_condition(
            self.backbone,
            self.adapter if self.photos else None,
            self.adapter.weights(self.unet) if self.photos else {},
            [batch.tokens],
            self.adapter.embed(self.features(batch)) if self.photos else None,
            batch.photos.any(-1).float(),
            size=(multiple * width, multiple * height),
        )
        if recorder is not None:
            recorder.begin_step()
        timestep = sigma * self.backbone.scheduler.config.num_train_timesteps
        velocity = self.backbone.predict_noise(noisy.to(self.unet.dtype), timestep, condition, recorder)
        if recorder is not None:
            recorder.seal()
        return velocity

    def features(self, batch: FlowMatchingBatch) -> ImageFeatures:
        """Return the features of the photos that are seen, in the precision of the networks."""
        features, dtype = self._encoded(batch), self.unet.dtype
        return replace(features, cls=features.cls.to(dtype), patches=features.patches.to(dtype), present=batch.photos)

    @torch.no_grad()
    def _encoded(self, batch: FlowMatchingBatch) -> ImageFeatures:
        """Return the features of the photos: cached, or from the frozen image encoder, which stays in float32."""
        if batch.features is not None:
            return batch.features
        encoder = self.backbone.image_encoder
        assert encoder is not None
        assert batch.references is not None
        device, half = batch.references.device.type, self.unet.dtype == torch.bfloat16
        with torch.autocast(device, torch.bfloat16) if half else nullcontext():
            return encode_pixels(encoder, batch.references, batch.photos)


class FlowMatchingStage:
    """Trains the UNet and the text encoder (base), the adapter, or all three (joint) of a model folder."""

    def __init__(
        self, name: str, folder: Path, backbone: StableDiffusion, adapter: MMDiffAdapter, dataset: ToyDataset,
        held_out: ToyDataset, settings: StageSettings, losses: LossWeights, mix: ConditionMix, seed: int = 0,
        layers: LayerChoice = "all",
    ) -> None:  # fmt: skip
        self.name, self.folder, self.settings, self.mix = name, folder, settings, mix
        self.backbone, self.adapter = backbone, adapter
        self.dataset, self._held_out_dataset = dataset, held_out
        self.seed, self.rng = seed, random.Random(seed)
        self._read = lru_cache(MAX_TEXTS)(self._tokenize)  # cached captions repeat, and tokenizing one takes 0.5 ms
        self.network = FlowMatchingLoss(backbone, adapter, losses, name != "base", layers)
        parts: Mapping[str, tuple[nn.Module, ...]] = {
            "base": (backbone.unet, backbone.text_encoders[0]),  # the contrast taught it toys, not relations or styles
            "adapter": (adapter,),
            "joint": (backbone.unet, backbone.text_encoders[0], adapter),
        }
        self.network.requires_grad_(False)
        for part in parts.get(name, ()):
            part.requires_grad_(True)
        backbone.unet.to(memory_format=torch.channels_last)

    @cached_property
    def held_out(self) -> Samples:
        """The samples of the sheets, rendered for the first one."""
        return self._held_out_dataset.sample(SHEET_IMAGES)

    def hidden_weights(self) -> Sequence[nn.Parameter]:
        """Return what Muon suits: all matrices but embeddings, LoRAs, and what reads and writes latents."""
        unet = self.backbone.unet
        return hidden_weights(self.network, apart=(unet.conv_in, unet.conv_out))

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Continue with the batches of that step."""
        self.dataset.seek(step)
        self.rng.seed(f"{self.name}:{self.seed}:{step}")

    def batch(self) -> FlowMatchingBatch:
        return self.sampled_batch(self.settings.batch)

    def sampled_batch(self, count: int) -> FlowMatchingBatch:
        """Return the next batch of the dataset."""
        samples = self.dataset.sample(count)
        device = self.backbone.unet.device
        photos = self._choose_photos(samples)
        latents, features, references = samples.latents, samples.features, samples.references
        if latents is None:
            assert samples.images is not None
            latents = encode_latents(self.backbone.vae, samples.images)
        if features is not None:
            features = ImageFeatures(
                features.cls.to(device).float(), features.patches.to(device).float(), features.present.to(device)
            )
        return FlowMatchingBatch(
            latents=latents.to(device, torch.float32, memory_format=torch.channels_last),
            masks=samples.masks.to(device).float() / 255,
            tokens=stack_tokens([self._tokens(samples, photos, row) for row in range(len(samples.captions))]),
            photos=photos.to(device),
            references=None if references is None else references.to(device).float() / 255,
            features=features,
        )

    def _choose_photos(self, samples: Samples) -> Tensor:
        """Choose the photos that each row sees, (B, S, P): of each subject one or all, or none in some rows."""
        subjects, count = samples.present.shape[1], samples.photos
        photos = torch.zeros(len(samples.captions), subjects, count, dtype=torch.bool)
        without = self.mix.empty + self.mix.described
        for row, present in enumerate(samples.present.tolist()):
            if self.name == "base" or self.rng.random() < without:
                continue
            for subject in range(sum(present)):
                seen = self.rng.sample(range(count), 1 if self.rng.random() < ONE_PHOTO else count)
                photos[row, subject, seen] = True
        return photos

    def _tokens(self, samples: Samples, photos: Tensor, row: int) -> PromptTokens:
        """Return the prompt of a row: with photos the caption; without them a description, the caption or nothing."""
        caption = samples.captions[row]
        if photos[row].any():
            return self._read(caption.text, caption.names)
        if self.rng.random() < self.mix.empty / (self.mix.empty + self.mix.described):
            return self._read("")
        # Without a photo a toy of that class may have any attributes, or those of the description.
        return self._read(self.rng.choice((caption.detailed, caption.detailed, caption.text)))

    def _tokenize(self, text: str, names: tuple[str, ...] = ()) -> PromptTokens:
        """Tokenize a text; the words of subjects that are not named are at -1."""
        found = find_words(text, names) if names else (text, ())
        tokens = tokenize(self.backbone.tokenizers[0], *found)
        return replace(tokens, words=F.pad(tokens.words, (0, MAX_SUBJECTS - len(names)), value=-1))

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Draw held-out toys: their photos, a render of the prompt, the generated image, and the subjects' maps."""
        return image_grid([list(column) for column in zip(*map(self._column, range(SHEET_IMAGES)), strict=True)])

    def _column(self, row: int) -> list[Image.Image]:
        samples, caption = self.held_out, self.held_out.captions[row]
        assert samples.images is not None  # held-out samples are rendered, not encoded
        assert samples.references is not None
        real = to_image(samples.images[row])
        photos = [to_image(samples.references[row, s, 0]) for s in range(len(caption.names))]
        subjects = (
            ()
            if self.name == "base"
            else tuple(Subject(name, (photo,)) for name, photo in zip(caption.names, photos, strict=True))
        )
        prompt = caption.text if subjects else caption.detailed
        request = GenerateRequest(prompt=prompt, subjects=subjects, seeds=(row,))
        *_, last = Personalizer(self.backbone, self.adapter if subjects else None).generate(request)
        assert last.result is not None
        made = last.result[0]
        maps = [
            overlay(made.image, made.maps.at(s, "text"), colour_of(s))
            for s in range(len(subjects))
            if made.maps is not None
        ]
        return [shared_cell(photos, real.size), real, made.image, shared_cell(maps or [made.image], real.size)]

    def finish(self) -> Mapping[str, float]:
        """Write the trained parts; return their number of parameters. A student of the former weights goes."""
        self.network.eval()
        shutil.rmtree(self.folder / STUDENT_FOLDER, ignore_errors=True)
        if self.name != "adapter":
            save_network(self.backbone.unet, self.folder / "unet")
            save_network(self.backbone.text_encoders[0], self.folder / "text_encoder")
        if self.name != "base":
            save_adapter(self.adapter, self.folder / "adapter.safetensors")
        return {"parameters": sum(parameter.numel() for parameter in self.trained())}
