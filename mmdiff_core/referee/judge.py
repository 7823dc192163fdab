"""Judging images with the referee.

A judgement says whether each named class is present, where it is and which attributes it has there, and it names the
background and the style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.referee.network import Referee, RefereeOutput, RegionDescription

MIN_REGION = 0.004  # of an image's area; smaller regions do not count
PRESENT = 0.5
_BATCH = 32


@dataclass(frozen=True)
class Judgement:
    """What the referee says about one image whose prompt names S classes."""

    present: tuple[bool, ...]  # each class is recognisable
    background: str
    style: str
    regions: Tensor  # (S, H, W) bool, disjoint
    found: tuple[bool, ...]  # each region is large enough to be judged
    identity: Tensor  # (S, E), meaningless where nothing was found
    attributes: tuple[Tensor, ...]  # logits (S, values) of each attribute


def judge(
    referee: Referee, images: Tensor, class_names: Sequence[Sequence[str]], photos: bool = False
) -> list[Judgement]:
    """Judge images.

    Args:
        referee: the network.
        images: (B, 3, H, W) in [0, 1] of any size; they are resized for the referee.
        class_names: the classes that each image should show, each of them once.
        photos: whether each is a photo of one toy, which is judged at a smaller size.

    Raises:
        SettingsError: the referee does not know a class, or a class is named twice for one image.
    """
    _check_names(referee, class_names)
    size = referee.config.photo_size if photos else referee.config.size
    chunks = (slice(start, start + _BATCH) for start in range(0, len(class_names), _BATCH))
    return [judgement for chunk in chunks for judgement in _judge(referee, images[chunk], class_names[chunk], size)]


@torch.no_grad()
def _judge(referee: Referee, images: Tensor, class_names: Sequence[Sequence[str]], size: int) -> Iterator[Judgement]:
    config = referee.config
    output = run_referee(referee, images, size)
    for b, classes in enumerate(class_names):
        numbers = [config.classes.index(class_name) for class_name in classes]
        regions = regions_of(output, b, numbers, (images.shape[2], images.shape[3]))
        described = describe_regions(referee, output, b, regions)
        yield Judgement(
            present=tuple((output.classes[b, numbers].sigmoid() > PRESENT).tolist()),
            background=config.backgrounds[int(output.backgrounds[b].argmax())],
            style=config.styles[int(output.styles[b].argmax())],
            regions=regions.cpu(),
            found=tuple((regions.flatten(1).float().mean(1) >= MIN_REGION).tolist()),
            identity=described.identity.cpu(),
            attributes=tuple(x.cpu() for x in described.attributes),
        )


def run_referee(referee: Referee, images: Tensor, size: int | None = None) -> RefereeOutput:
    """Run one forward pass on images (B, 3, H, W) in [0, 1], resized to ``size`` or the referee's own size."""
    size = size or referee.config.size
    images = images.to(referee.device).float()
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return referee(images)


def regions_of(output: RefereeOutput, row: int, classes: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Return where each of the named classes is in one image, (S, H, W) bool.

    A pixel belongs to a toy if that is likelier than the background, and then to the likeliest of the *named* classes:
    a cat that looks a little like a dog is still the cat of a prompt without a dog.
    """
    probabilities = output.segments[row].float().softmax(0)  # (1 + N, h, w)
    chosen = probabilities[[0, *(1 + number for number in classes)]]  # (1 + S, h, w)
    chosen = F.interpolate(chosen[None], size, mode="bilinear", align_corners=False)[0]
    winner = chosen[1:].argmax(0)  # (H, W)
    numbers = torch.arange(len(classes), device=winner.device)
    return (winner == numbers[:, None, None]) & (chosen[0] < 0.5)


def describe_regions(referee: Referee, output: RefereeOutput, row: int, regions: Tensor) -> RegionDescription:
    """Describe identity and attributes of the regions (S, H, W) of one image."""
    size = output.segments.shape[-2:]
    share = F.interpolate(regions[:, None].float(), size, mode="area")[:, 0]
    return referee.describe(output.features[row].expand(len(regions), -1, -1, -1), share)


def judge_photos(referee: Referee, photos: Tensor, class_name: str) -> Judgement:
    """Judge photos (P, 3, H, W) of one toy together, by the means of their embeddings and of their attributes."""
    judgements = judge(referee, photos, [[class_name]] * len(photos), photos=True)
    identity = torch.cat([judgement.identity for judgement in judgements])
    attributes = [torch.cat(parts) for parts in zip(*(judgement.attributes for judgement in judgements), strict=True)]
    first = judgements[0]
    return Judgement(
        present=(all(judgement.present[0] for judgement in judgements),),
        background=first.background,
        style=first.style,
        regions=first.regions,
        found=(all(judgement.found[0] for judgement in judgements),),
        identity=F.normalize(identity.mean(0, keepdim=True), dim=-1),
        attributes=tuple(x.softmax(-1).mean(0, keepdim=True).clamp(min=1e-9).log() for x in attributes),
    )


def _check_names(referee: Referee, class_names: Sequence[Sequence[str]]) -> None:
    known = referee.config.classes
    for classes in class_names:
        if unknown := [name for name in classes if name not in known]:
            raise SettingsError(f'The referee does not know "{unknown[0]}". It knows: {", ".join(known)}.')
        if len(set(classes)) < len(classes):
            raise SettingsError(
                f"The referee distinguishes the toys of an image by their classes, but got {', '.join(classes)}."
            )
