"""Batches for a frozen Stable Diffusion, made of training examples.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e with t uniform; the target is what the base predicts (e, or v). B rows, S the most
subjects of an example in the batch, P the most photos of a subject, R the image encoder's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from mmdiff_core.backbones.preview import encode_images, scale_latents
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.encoders.photo import prepare_photo
from mmdiff_core.encoders.prompt import stack_tokens, tokenize
from mmdiff_core.errors import PromptError
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.training.annotated.training_examples import ExampleMaker, TrainingExample
from mmdiff_core.types import Word


@dataclass(frozen=True)
class NoisePredictionBatch:
    """What one step of training sees."""

    noisy: Tensor  # (B, c, h, w)
    target: Tensor  # (B, c, h, w)
    timesteps: Tensor  # (B,) long
    masks: Tensor  # (B, S, h, w) in [0, 1]
    tokens: tuple[PromptTokens, ...]  # per text encoder; words at -1 where a subject's photos are not seen
    photos: Tensor  # (B, S, P, 3, R, R) in [0, 1]
    present: Tensor  # (B, S, P) bool, photos (or faces) that are seen
    identity: Tensor | None  # (B, S, P, 512), for the face variant
    crops: Tensor | None  # (B, S, P, 3, R, R), the faces
    time_ids: Tensor  # (B, 6) original size, corner and size of the crop, as SDXL reads them


@dataclass(frozen=True)
class References:
    """The padded references of a batch."""

    photos: Tensor
    present: Tensor
    identity: Tensor | None
    crops: Tensor | None


@dataclass(frozen=True)
class Collator:
    """Makes batches; the noise of each row follows from its example's number.

    Args:
        backbone: on the device of the training.
        schedule: of the noise.
        examples: what made the examples.
    """

    backbone: StableDiffusion
    schedule: DDPMScheduler
    examples: ExampleMaker

    @torch.no_grad()
    def __call__(self, examples: Sequence[TrainingExample]) -> NoisePredictionBatch:
        """Return a batch of these examples."""
        device, size = self.backbone.device, self.examples.size
        latents, noise, timesteps = self._noise(examples)
        target = noise
        if self.schedule.config.prediction_type == "v_prediction":
            target = self.schedule.get_velocity(latents, noise, timesteps)
        texts = [self._read(example) for example in examples]
        references = self._references(examples)
        time_ids = [[*example.original, *example.corner, size, size] for example in examples]
        return NoisePredictionBatch(
            noisy=self.schedule.add_noise(latents, noise, timesteps).to(device, self.backbone.unet.dtype),
            target=target.to(device),
            timesteps=timesteps.to(device),
            masks=_pad([example.masks for example in examples]).to(device),
            tokens=tuple(self._stack(tokens, references.present) for tokens in zip(*texts, strict=True)),
            photos=references.photos.to(device),
            present=references.present.to(device),
            identity=None if references.identity is None else references.identity.to(device),
            crops=None if references.crops is None else references.crops.to(device),
            time_ids=torch.tensor(time_ids, dtype=torch.float32),
        )

    def _noise(self, examples: Sequence[TrainingExample]) -> tuple[Tensor, Tensor, Tensor]:
        """Return clean latents and noise (B, c, h, w) and timesteps (B,), on the CPU in float32."""
        vae = self.backbone.vae
        images = torch.stack([example.image for example in examples]) * 2 - 1
        mean, deviation = (x.float().cpu() for x in encode_images(vae, images.to(vae.device, vae.dtype)))
        latents, noise, timesteps = [], [], []
        for row, example in enumerate(examples):
            generator = torch.Generator().manual_seed(_seed(self.examples.seed, example.number))
            spread = torch.randn(mean[row].shape, generator=generator)
            latents.append(scale_latents(vae, mean[row : row + 1] + deviation[row] * spread)[0])
            noise.append(torch.randn(mean[row].shape, generator=generator))
            random_timestep = torch.randint(self.schedule.config.num_train_timesteps, (1,), generator=generator)
            timesteps.append(random_timestep if example.timestep is None else torch.tensor([example.timestep]))
        return torch.stack(latents), torch.stack(noise), torch.cat(timesteps)

    def _read(self, example: TrainingExample) -> list[PromptTokens]:
        """Return the caption for every text encoder, empty where it is not seen, and the subjects' places in it."""
        caption = example.caption if example.sees in ("all", "text") else ""
        words = example.words if example.sees == "all" else ()
        return [read_caption(tokenizer, caption, words) for tokenizer in self.backbone.tokenizers]

    @staticmethod
    def _stack(tokens: Sequence[PromptTokens], present: Tensor) -> PromptTokens:
        """Stack prompts, with as many subjects as the batch has."""
        stacked = stack_tokens(tokens)
        return replace(stacked, words=F.pad(stacked.words, (0, present.shape[1] - stacked.words.shape[1]), value=-1))

    def _references(self, examples: Sequence[TrainingExample]) -> References:
        """Pad the photos, for the face variant also the crops and embeddings of faces, and mark those that are seen."""
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
                present[row, s, : len(counted[row][s])] = example.sees in ("all", "photos")
            for s, faces in enumerate(example.faces):
                for p, face in enumerate(faces):
                    assert crops is not None
                    assert identity is not None
                    crops[row, s, p] = prepare_photo(face.crop, side)
                    identity[row, s, p] = torch.tensor(face.embedding)
        return References(photos, present, identity, crops)


def read_caption(tokenizer: Any, caption: str, words: Sequence[Word]) -> PromptTokens:
    """Tokenize a caption; the words of subjects that come too late for the text encoder are at -1."""
    places = []
    for word in words:
        try:
            places.append(tokenize(tokenizer, caption, [word]).words)
        except PromptError:
            places.append(torch.full((1, 1), -1))
    tokens = tokenize(tokenizer, caption)
    return replace(tokens, words=torch.cat([*places, tokens.words], dim=1))


def _pad(masks: Sequence[Tensor]) -> Tensor:
    """Pad masks (S, h, w) to the most subjects, at least one: (B, S, h, w)."""
    most = max(1, *(len(mask) for mask in masks))
    return torch.stack([F.pad(mask, (0, 0, 0, 0, 0, most - len(mask))) for mask in masks])


def _seed(seed: int, number: int) -> int:
    """Return one of 2^63 seeds for every sample of every run."""
    return (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) % 2**63
