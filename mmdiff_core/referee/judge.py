"""Asking the referee about pictures.

What it is asked of a picture: whether each named noun is there, where, how that region looks, in which place and style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.referee.network import Described, Referee, Seen

LEAST_REGION = 0.004  # of a picture's area; less is no region
PRESENT = 0.5
_BATCH = 32


@dataclass(frozen=True)
class Verdict:
    """What the referee says about one picture whose prompt names S nouns."""

    present: tuple[bool, ...]  # each noun can be made out
    place: str
    style: str
    regions: Tensor  # (S, H, W) bool, disjoint
    found: tuple[bool, ...]  # each region is large enough to be looked at
    identity: Tensor  # (S, E), of no meaning where nothing was found
    look: tuple[Tensor, ...]  # logits (S, choices) of each attribute


def judge(referee: Referee, pictures: Tensor, names: Sequence[Sequence[str]], photos: bool = False) -> list[Verdict]:
    """Judge pictures.

    Args:
        referee: the network.
        pictures: (B, 3, H, W) in [0, 1], any size; the referee looks at them at its own.
        names: the nouns that each picture should show, every one once.
        photos: whether they are photos of one toy each, which it looks at more coarsely.

    Raises:
        SettingsError: a noun that the referee does not know, or twice the same in a picture.
    """
    _check(referee, names)
    size = referee.config.photo_size if photos else referee.config.size
    chunks = (slice(start, start + _BATCH) for start in range(0, len(names), _BATCH))
    return [verdict for chunk in chunks for verdict in _judge(referee, pictures[chunk], names[chunk], size)]


@torch.no_grad()
def _judge(referee: Referee, pictures: Tensor, names: Sequence[Sequence[str]], size: int) -> Iterator[Verdict]:
    config = referee.config
    seen = look_at(referee, pictures, size)
    for b, nouns in enumerate(names):
        numbers = [config.nouns.index(noun) for noun in nouns]
        regions = region_of(seen, b, numbers, (pictures.shape[2], pictures.shape[3]))
        described = describe(referee, seen, b, regions)
        yield Verdict(
            present=tuple((seen.nouns[b, numbers].sigmoid() > PRESENT).tolist()),
            place=config.places[int(seen.places[b].argmax())],
            style=config.styles[int(seen.styles[b].argmax())],
            regions=regions.cpu(),
            found=tuple((regions.flatten(1).float().mean(1) >= LEAST_REGION).tolist()),
            identity=described.identity.cpu(),
            look=tuple(x.cpu() for x in described.look),
        )


def look_at(referee: Referee, pictures: Tensor, size: int | None = None) -> Seen:
    """One forward of pictures (B, 3, H, W) in [0, 1], brought to ``size`` or the referee's own for pictures."""
    size = size or referee.config.size
    pictures = pictures.to(referee.device).float()
    if pictures.shape[2:] != (size, size):
        pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return referee(pictures)


def region_of(seen: Seen, row: int, nouns: Sequence[int], size: tuple[int, int]) -> Tensor:
    """Where each of the named nouns is in one picture, (S, H, W) bool.

    A pixel belongs to a toy if that is likelier than the background, and then to the likeliest of the *named* nouns: a
    cat that looks a little like a dog is still the cat of a prompt that has no dog.
    """
    probabilities = seen.segments[row].float().softmax(0)  # (1 + N, h, w)
    chosen = probabilities[[0, *(1 + noun for noun in nouns)]]  # (1 + S, h, w)
    chosen = F.interpolate(chosen[None], size, mode="bilinear", align_corners=False)[0]
    winner = chosen[1:].argmax(0)  # (H, W)
    numbers = torch.arange(len(nouns), device=winner.device)
    return (winner == numbers[:, None, None]) & (chosen[0] < 0.5)


def describe(referee: Referee, seen: Seen, row: int, regions: Tensor) -> Described:
    """Identity and look of the regions (S, H, W) of one picture."""
    size = seen.segments.shape[-2:]
    share = F.interpolate(regions[:, None].float(), size, mode="area")[:, 0]
    return referee.describe(seen.features[row].expand(len(regions), -1, -1, -1), share)


def photo_verdict(referee: Referee, photos: Tensor, noun: str) -> Verdict:
    """Several photos (P, 3, H, W) of one toy as a single verdict: the mean of its embeddings, and of its looks."""
    verdicts = judge(referee, photos, [[noun]] * len(photos), photos=True)
    identity = torch.cat([verdict.identity for verdict in verdicts])
    look = [torch.cat(parts) for parts in zip(*(verdict.look for verdict in verdicts), strict=True)]
    first = verdicts[0]
    return Verdict(
        present=(all(verdict.present[0] for verdict in verdicts),),
        place=first.place,
        style=first.style,
        regions=first.regions,
        found=(all(verdict.found[0] for verdict in verdicts),),
        identity=F.normalize(identity.mean(0, keepdim=True), dim=-1),
        look=tuple(x.softmax(-1).mean(0, keepdim=True).clamp(min=1e-9).log() for x in look),
    )


def _check(referee: Referee, names: Sequence[Sequence[str]]) -> None:
    for nouns in names:
        if strange := [noun for noun in nouns if noun not in referee.config.nouns]:
            raise SettingsError(
                f'The referee does not know "{strange[0]}". It knows: {", ".join(referee.config.nouns)}.'
            )
        if len(set(nouns)) < len(nouns):
            raise SettingsError(
                f"The referee tells toys of one picture apart by their nouns, but got {', '.join(nouns)}."
            )
