"""The referee's loss: its terms for whole images and for the regions of toys."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmdiff_core.referee.cached_renders import NONE
from mmdiff_core.referee.network import MASK_STRIDE, Referee, RefereeOutput


@dataclass(frozen=True)
class RefereeLossWeights:
    """Weights of the loss terms."""

    segments: float = 1.0
    classes: float = 4.0
    photo_class: float = 1.0
    backgrounds: float = 0.3
    styles: float = 0.3
    identity: float = 0.5
    attributes: float = 0.3


@dataclass(frozen=True)
class LabelledImages:
    """Images (n) of one size with the truth about them."""

    images: Tensor  # (n, 3, R, R) in [0, 1]
    slots: Tensor  # uint8 (n, R, R)
    classes: Tensor  # long (n, S)
    backgrounds: Tensor  # long (n,)
    styles: Tensor  # long (n,)
    spoiled: Tensor  # bool (n,) nothing is recognisable


@dataclass(frozen=True)
class RefereeBatch:
    """The data of one step: n scenes, and a photo of one toy of each (the "pair")."""

    scenes: LabelledImages
    photos: LabelledImages
    pair: Tensor  # long (n,) which toy of the scene the photo shows
    attributes: Tensor  # long (n, 4) of that toy


class RefereeLoss(nn.Module):
    """Loss terms of the referee."""

    def __init__(self, referee: Referee, weights: RefereeLossWeights) -> None:
        super().__init__()
        self.referee, self.weights = referee, weights
        self.scale = nn.Parameter(torch.tensor(2.7))  # log of the contrast's inverse temperature, about 15

    def forward(self, batch: RefereeBatch) -> dict[str, Tensor]:
        scenes, photos = self.referee(batch.scenes.images), self.referee(batch.photos.images)
        of_scenes, of_photos = self._image_terms(scenes, batch.scenes), self._image_terms(photos, batch.photos)
        terms = {name: (of_scenes[name] + of_photos[name]) / 2 for name in of_scenes}
        terms |= {"photo_class": self._photo_class(photos, batch.photos), **self._region_terms(scenes, photos, batch)}
        return {name: getattr(self.weights, name) * value for name, value in terms.items()}

    def _image_terms(self, output: RefereeOutput, truth: LabelledImages) -> dict[str, Tensor]:
        """Return the terms of whole images; of a spoiled one only that it shows nothing."""
        clean = ~truth.spoiled
        labels = segment_labels(truth.slots, truth.classes)[clean]
        logits = output.segments.float()[clean]
        # Most pixels are background, so the class of the toys' pixels gets a term of its own.
        among_toys = F.cross_entropy(logits[:, 1:], labels - 1, ignore_index=NONE)
        return {
            "segments": F.cross_entropy(logits, labels) + among_toys,
            "classes": F.binary_cross_entropy_with_logits(output.classes.float(), self._present(truth)),
            "backgrounds": F.cross_entropy(output.backgrounds.float()[clean], truth.backgrounds[clean]),
            "styles": F.cross_entropy(output.styles.float()[clean], truth.styles[clean]),
        }

    def _photo_class(self, output: RefereeOutput, photos: LabelledImages) -> Tensor:
        """Return the term for the one class of a photo, which says more than the presence of each class."""
        clean = ~photos.spoiled
        return F.cross_entropy(output.classes.float()[clean], photos.classes[clean, 0])

    def _present(self, truth: LabelledImages) -> Tensor:
        """Return which classes are recognisable, (n, N) float."""
        count = len(self.referee.config.classes)
        shown = F.one_hot(truth.classes + 1, count + 1)[..., 1:].amax(1)  # NONE is dropped
        return (shown * ~truth.spoiled[:, None]).float()

    def _region_terms(self, scenes: RefereeOutput, photos: RefereeOutput, batch: RefereeBatch) -> dict[str, Tensor]:
        """Contrast each toy and its photo with all others, and compare the attributes of both with the truth."""
        masks = batch.scenes.slots == 1 + batch.pair[:, None, None], batch.photos.slots == 1
        whole = [mask.flatten(1).any(1) for mask in masks]
        usable = whole[0] & whole[1] & ~batch.scenes.spoiled & ~batch.photos.spoiled
        in_scene, in_photo = (
            self.referee.describe(output.features[usable], mask[usable])
            for output, mask in zip((scenes, photos), masks, strict=True)
        )
        scores = self.scale.exp().clamp(max=60) * in_scene.identity @ in_photo.identity.T
        right = torch.arange(len(scores), device=scores.device)
        contrast = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
        pairs = zip((*in_scene.attributes, *in_photo.attributes), batch.attributes[usable].unbind(1) * 2, strict=True)
        return {"identity": contrast, "attributes": torch.stack([F.cross_entropy(x, y) for x, y in pairs]).sum() / 2}


def segment_labels(slots: Tensor, classes: Tensor) -> Tensor:
    """Return the number of what covers most of each square of a segmentation.

    Args:
        slots: uint8 (B, R, R), 0 background, 1 + s where toy s is visible.
        classes: (B, S) of the toys.

    Returns:
        long (B, R/2, R/2): 0 background, else 1 + class.
    """
    numbers = F.pad(classes + 1, (1, 0))  # (B, 1 + S): background first
    layers = torch.stack([slots == slot for slot in range(numbers.shape[1])], 1).float()
    largest = F.avg_pool2d(layers, MASK_STRIDE).argmax(1)  # (B, R/2, R/2)
    return numbers.gather(1, largest.flatten(1)).view_as(largest)
