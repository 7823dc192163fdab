"""Training of the adapter on a frozen Stable Diffusion: noise or velocity prediction with the base's own schedule.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e with t uniform; the target is what the base predicts (e, or v). Only the adapter
learns, from the denoising loss and the attention-map constraints (paper, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.encoders.photo import prepare
from mmdiff_core.encoders.prompt import stack_tokens, tokenize
from mmdiff_core.errors import PromptError, SettingsError
from mmdiff_core.generation.conditioning import build_condition, encode_faces, encode_pixels
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.maps.constraints import constraint_losses
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures, PromptTokens
from mmdiff_core.training.annotated.folder import RecordSource
from mmdiff_core.training.annotated.training_examples import ExampleMaker, TrainingExample
from mmdiff_core.training.stable_diffusion.recipes import SdLossWeights
from mmdiff_core.training.stable_diffusion.sample_sheet import draw_sheet
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.types import MapKind, Recording, Word
from mmdiff_core.weights.adapter_file import save_adapter

READERS = 8  # threads that open pictures
PREDICTIONS = ("epsilon", "v_prediction")
ADAPTER_FILE = "adapter.safetensors"


@dataclass(frozen=True)
class NoisePredictionBatch:
    """What one step sees. S: the most subjects of an example in it; Pm: the most photos."""

    noisy: Tensor  # (B, c, h, w)
    target: Tensor  # (B, c, h, w)
    timesteps: Tensor  # (B,) long
    masks: Tensor  # (B, S, h, w) in [0, 1]
    tokens: tuple[PromptTokens, ...]  # per text encoder; words at -1 where a subject's photos are not seen
    photos: Tensor  # (B, S, Pm, 3, R, R) in [0, 1]
    present: Tensor  # (B, S, Pm) bool, photos (or faces) that are seen
    identity: Tensor | None  # (B, S, Pm, 512), for the face variant
    crops: Tensor | None  # (B, S, Pm, 3, R, R), the faces
    time_ids: Tensor  # (B, 6) original size, corner and size of the crop, as SDXL reads them


class NoisePredictionLoss(nn.Module):
    """Loss terms of a batch; the mean over its rows, so that a batch may be cut in parts."""

    def __init__(self, backbone: StableDiffusion, adapter: MMDiffAdapter, weights: SdLossWeights) -> None:
        super().__init__()
        self.adapter = adapter  # the frozen parts stay outside, where no process copies them
        self.backbone, self.weights = backbone, weights

    def forward(self, batch: NoisePredictionBatch) -> dict[str, Tensor]:
        recorder = Recorder(Recording(("text", "image")))
        recorder.begin_step()
        condition = self._condition(batch)
        predicted = self.backbone.predict_noise(batch.noisy, batch.timesteps, condition, recorder)
        recorder.seal()
        return {"denoise": self._denoising(predicted.float(), batch), **self._constraints(recorder, batch)}

    def _condition(self, batch: NoisePredictionBatch) -> Any:
        height, width = batch.noisy.shape[-2:]
        scale = self.backbone.sizes.multiple
        condition = build_condition(
            self.backbone,
            self.adapter,
            self.adapter.weights(self.backbone.unet),
            batch.tokens,
            self.adapter.embed(self._features(batch), batch.identity),
            batch.present.any(-1).float(),
            size=(scale * width, scale * height),
        )
        if "time_ids" in condition.added:
            sizes = batch.time_ids.to(condition.added["time_ids"])
            condition = replace(condition, added={**condition.added, "time_ids": sizes})
        return condition

    @torch.no_grad()
    def _features(self, batch: NoisePredictionBatch) -> ImageFeatures:
        encoder = self.backbone.image_encoder
        assert encoder is not None  # the run sees to it
        present = batch.present
        if not present.any():  # one is encoded nevertheless, at a strength of 0: every weight stays in the graph
            present = torch.zeros_like(present)
            present[0, 0, 0] = True
        if batch.crops is None:
            return encode_pixels(encoder, batch.photos, present)
        return encode_faces(encoder, batch.photos[:, :, 0], batch.crops, present)

    def _denoising(self, predicted: Tensor, batch: NoisePredictionBatch) -> Tensor:
        """Mean squared error, the subjects' pixels as heavy as the settings say."""
        subjects = batch.masks.sum(1, keepdim=True).clamp(max=1)  # (B, 1, h, w)
        weight = 1 + (self.weights.subject_pixels - 1) * subjects
        error = weight * (predicted - batch.target.float()).square()
        return (error.mean((1, 2, 3)) / weight.mean((1, 2, 3))).mean()

    def _constraints(self, recorder: Recorder, batch: NoisePredictionBatch) -> dict[str, Tensor]:
        """Return the constraints, averaged over the rows; rows without a photo count as zero."""
        seen = batch.present.any(-1)  # (B, S)
        named = seen & (batch.tokens[0].words >= 0).to(seen.device)
        weights: dict[MapKind, float] = {"text": self.weights.text_constraint, "image": self.weights.image_constraint}
        present: dict[MapKind, Tensor] = {"text": named, "image": seen}
        return constraint_losses(recorder.layers, weights, batch.masks, present, per_sample=True)


class NoisePredictionStage:
    """Trains an adapter on annotated pictures.

    Args:
        folder: where the adapter is written.
        backbone, adapter: on the device of the training.
        records: what to train on.
        examples: how its pictures become examples.
        held_out: examples for the validation loss and the sheets; the same in every run.
        settings: of the optimisation.
        weights: of the loss terms.
        accumulate: batches per step.
        extra: metadata of the adapter's file.

    Raises:
        SettingsError: the base predicts something else than noise or velocity.
    """

    name = "adapter"

    def __init__(
        self, folder: Path, backbone: StableDiffusion, adapter: MMDiffAdapter, records: RecordSource,
        examples: ExampleMaker, held_out: Sequence[TrainingExample], settings: StageSettings, weights: SdLossWeights,
        accumulate: int = 1, extra: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        kind = backbone.scheduler.config.prediction_type
        if kind not in PREDICTIONS:
            raise SettingsError(
                f'The base "{backbone.name}" predicts {kind}, but this recipe is for {" and ".join(PREDICTIONS)}: '
                "the built-in kind of model is trained with --recipe cpu or gpu."
            )
        self.folder, self.settings, self.accumulate = folder, settings, accumulate
        self.backbone, self.adapter, self.extra = backbone, adapter, dict(extra or {})
        self.records, self.examples = records, examples
        self.schedule = DDPMScheduler.from_config(backbone.scheduler.config)
        steps, count = self.schedule.config.num_train_timesteps, max(1, len(held_out))
        self.held_out = tuple(
            replace(example, timestep=int((index + 0.5) / count * steps)) for index, example in enumerate(held_out)
        )
        self.readers = ThreadPoolExecutor(READERS)
        self.drawn = 0
        self._network = NoisePredictionLoss(backbone, adapter, weights)

    @property
    def network(self) -> nn.Module:
        return self._network

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.adapter.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Go on with the batches of a step."""
        self.drawn = step * self.accumulate

    def batch(self) -> NoisePredictionBatch:
        records = self.records.draw(self.drawn, self.settings.batch)
        self.drawn += 1
        return self.collate(list(self.readers.map(lambda pair: self.examples.make(*pair), records)))

    @torch.no_grad()
    def collate(self, examples: Sequence[TrainingExample]) -> NoisePredictionBatch:
        """A batch, its noise drawn by the examples' numbers."""
        device, dtype = self.backbone.device, self.backbone.unet.dtype
        latents, noise, timesteps = self._noise(examples)
        target = noise if self.schedule.config.prediction_type == "epsilon" else None
        if target is None:
            target = self.schedule.get_velocity(latents, noise, timesteps)
        texts = [self._read(example) for example in examples]
        seen = [example.sees in ("all", "photos") for example in examples]
        photos, crops, identity, present = self._references(examples, seen)
        size = self.examples.size
        sizes = [[*example.original, *example.corner, size, size] for example in examples]
        return NoisePredictionBatch(
            noisy=self.schedule.add_noise(latents, noise, timesteps).to(device, dtype),
            target=target.to(device),
            timesteps=timesteps.to(device),
            masks=_pad([example.masks for example in examples]).to(device),
            tokens=tuple(self._padded(tokens, present) for tokens in zip(*texts, strict=True)),
            photos=photos.to(device),
            present=present.to(device),
            identity=None if identity is None else identity.to(device),
            crops=None if crops is None else crops.to(device),
            time_ids=torch.tensor(sizes, dtype=torch.float32),
        )

    def _noise(self, examples: Sequence[TrainingExample]) -> tuple[Tensor, Tensor, Tensor]:
        """Clean latents and noise (B, c, h, w) and timesteps (B,), on the CPU in float32."""
        vae = self.backbone.vae
        pictures = torch.stack([example.picture for example in examples]) * 2 - 1
        posterior = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist
        mean, deviation = posterior.mean.float().cpu(), posterior.std.float().cpu()
        latents, noise, timesteps = [], [], []
        for row, example in enumerate(examples):
            generator = torch.Generator().manual_seed(_seed(self.examples.seed, example.number))
            spread = torch.randn(mean[row].shape, generator=generator)
            latents.append((mean[row] + deviation[row] * spread) * vae.config.scaling_factor)
            noise.append(torch.randn(mean[row].shape, generator=generator))
            drawn = torch.randint(self.schedule.config.num_train_timesteps, (1,), generator=generator)
            timesteps.append(drawn if example.timestep is None else torch.tensor([example.timestep]))
        return torch.stack(latents), torch.stack(noise), torch.cat(timesteps)

    def _read(self, example: TrainingExample) -> list[PromptTokens]:
        """The caption for every text encoder, or nothing, and the subjects' places in it."""
        said = example.sees in ("all", "text")
        words = example.words if example.sees == "all" else ()
        return [read_caption(t, example.caption if said else "", words) for t in self.backbone.tokenizers]

    @staticmethod
    def _padded(tokens: Sequence[PromptTokens], present: Tensor) -> PromptTokens:
        """Stacked, with as many subjects as the batch has."""
        stacked = stack_tokens(tokens)
        return replace(stacked, words=F.pad(stacked.words, (0, present.shape[1] - stacked.words.shape[1]), value=-1))

    def _references(
        self, examples: Sequence[TrainingExample], seen: Sequence[bool]
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
        """Photos, and crops and embeddings of faces for the face variant, padded, and which of them count."""
        with_faces, side = self.examples.with_faces, self.examples.reference
        subjects = max(1, *(len(example.photos) for example in examples))
        counted = [example.faces if with_faces else example.photos for example in examples]
        most = max([1, *(len(own) for references in counted for own in references)])
        photos = torch.zeros(len(examples), subjects, most, 3, side, side)
        crops = torch.zeros_like(photos) if with_faces else None
        identity = torch.zeros(len(examples), subjects, most, 512) if with_faces else None
        present = torch.zeros(len(examples), subjects, most, dtype=torch.bool)
        for row, example in enumerate(examples):
            for s, own in enumerate(example.photos):
                shown = torch.stack(own[:most])
                photos[row, s, : len(shown)] = shown
                present[row, s, : len(counted[row][s])] = seen[row]
            for s, faces in enumerate(example.faces):
                for p, face in enumerate(faces):
                    assert crops is not None
                    assert identity is not None
                    crops[row, s, p] = prepare(face.crop, side)
                    identity[row, s, p] = torch.tensor(face.embedding)
        return photos, crops, identity, present

    @torch.no_grad()
    def validate(self, rank: int, world: int) -> tuple[float, int]:
        """The sum of the denoising losses of this process's share of the held-out examples, and their number.

        The noise of each is the same every time, at timesteps that are spread evenly.
        """
        total, own = 0.0, range(rank, len(self.held_out), world)
        for index in own:
            batch = self.collate([self.held_out[index]])
            total += float(self._network(batch)["denoise"])
        return total, len(own)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Held-out pictures: their photos, the picture, what the model makes of its caption, and the heatmaps."""
        return draw_sheet(self.backbone, self.adapter, self.held_out)

    def checkpoint(self) -> None:
        """Write the adapter as it is now."""
        save_adapter(self.adapter, self.folder / ADAPTER_FILE, self.extra)

    def finish(self) -> Mapping[str, float]:
        """The finished adapter is in the folder."""
        self.checkpoint()
        return {"parameters": float(sum(parameter.numel() for parameter in self.trained()))}


def read_caption(tokenizer: Any, caption: str, words: Sequence[Word]) -> PromptTokens:
    """Tokens of a caption; the words of subjects that come too late for the text encoder are at -1."""
    places = []
    for word in words:
        try:
            places.append(tokenize(tokenizer, caption, [word]).words)
        except PromptError:
            places.append(torch.full((1, 1), -1))
    tokens = tokenize(tokenizer, caption)
    return replace(tokens, words=torch.cat([*places, tokens.words], dim=1))


def _pad(masks: Sequence[Tensor]) -> Tensor:
    """(S, h, w) each -> (B, most, h, w), at least one."""
    most = max(1, *(len(mask) for mask in masks))
    return torch.stack([F.pad(mask, (0, 0, 0, 0, 0, most - len(mask))) for mask in masks])


def _seed(seed: int, number: int) -> int:
    """One of 2^63 for every sample of every run."""
    return (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) % 2**63
