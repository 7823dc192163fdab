"""Samples of the toybox training: scenes with their masks, captions and reference photos.

B samples, S subjects (padded to ``MAX_SUBJECTS``), P reference photos of a subject, R their side in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.toyworld.render.renderer import to_bytes
from mmdiff_core.toyworld.scenes.scene import Caption

MAX_SUBJECTS = 3  # in one image
MASK_SIZE = 32  # masks are stored as the coverage of this many squares a side


@dataclass(frozen=True)
class Samples:
    """A batch of scenes with everything that a stage may learn from."""

    images: Tensor | None  # uint8 (B, 3, H, W); None where latents replace them
    masks: Tensor  # uint8 (B, S, MASK_SIZE, MASK_SIZE), 255 = covered by the subject
    references: Tensor | None  # uint8 (B, S, P, 3, R, R); None where features replace them
    present: Tensor  # bool (B, S)
    captions: tuple[Caption, ...]
    descriptions: tuple[tuple[str, ...], ...]  # of each subject's first reference photo
    latents: Tensor | None = None  # float16 (B, c, h, w)
    features: ImageFeatures | None = None  # of the references, float16

    @property
    def photos(self) -> int:
        """P."""
        seen = self.references if self.features is None else self.features.cls
        assert seen is not None  # one replaces the other
        return seen.shape[2]


class ImagesWithMasks(NamedTuple):
    """Images alone, with the regions of their subjects."""

    images: Tensor  # uint8 (B, 3, H, W)
    subjects: Tensor  # uint8 (B, MASK_SIZE, MASK_SIZE), 255 = covered by any subject


class ToyDataset(Protocol):
    """An endless source of random samples."""

    def seek(self, step: int) -> None:
        """Continue with the samples of that training step."""
        ...

    def sample(self, count: int) -> Samples:
        """Return images of one to three subjects with reference photos of each."""
        ...

    def sample_images(self, count: int) -> ImagesWithMasks:
        """Return images of one to three subjects."""
        ...

    def sample_photo_pairs(self, count: int) -> tuple[Tensor, list[str]]:
        """Return two photos of each of ``count`` toys, uint8 (count, 2, 3, R, R), and each first one described."""
        ...


def join_samples(parts: Sequence[Samples]) -> Samples:
    """Concatenate samples."""
    features = [part.features for part in parts if part.features is not None]
    return Samples(
        images=_cat([part.images for part in parts]),
        masks=torch.cat([part.masks for part in parts]),
        references=_cat([part.references for part in parts]),
        present=torch.cat([part.present for part in parts]),
        captions=tuple(caption for part in parts for caption in part.captions),
        descriptions=tuple(texts for part in parts for texts in part.descriptions),
        latents=_cat([part.latents for part in parts]),
        features=_cat_features(features) if len(features) == len(parts) else None,
    )


def _cat(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Concatenate tensors; None where any is missing."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def _cat_features(parts: Sequence[ImageFeatures]) -> ImageFeatures:
    return ImageFeatures(
        cls=torch.cat([part.cls for part in parts]),
        patches=torch.cat([part.patches for part in parts]),
        present=torch.cat([part.present for part in parts]),
    )


def coverage(masks: Tensor) -> Tensor:
    """Shrink masks (B, s, H, W) bool to uint8 (B, MAX_SUBJECTS, MASK_SIZE, MASK_SIZE), padded with zeros."""
    padded = F.pad(masks.float(), (0, 0, 0, 0, 0, MAX_SUBJECTS - masks.shape[1]))
    return to_bytes(F.adaptive_avg_pool2d(padded, MASK_SIZE))
