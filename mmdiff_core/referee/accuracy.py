"""How far the referee itself can be trusted: its answers about renders that it was not trained on."""

from __future__ import annotations

import random
from collections.abc import Mapping

import torch

from mmdiff_core.referee.augment import spoil
from mmdiff_core.referee.cached_renders import NONE, Renders
from mmdiff_core.referee.judge import PRESENT, Verdict, judge, look_at
from mmdiff_core.referee.metrics import (
    CANDIDATES,
    Estimate,
    average,
    draw_rivals,
    identity_hits,
    iou,
    look_similarity,
    proportion,
    swapped,
)
from mmdiff_core.referee.network import Referee

ASKED = {"identity": 0.97, "noun": 0.98, "place": 0.98, "style": 0.98, "iou": 0.85}  # at least, of held-out renders


@torch.no_grad()
def check(referee: Referee, renders: Renders, rng: random.Random) -> Mapping[str, Estimate]:
    """Ask about scenes of which everything is known; scenes with two toys of one noun are left out.

    Returns, as shares unless said otherwise:
        identity: right toy picked among 16 of its noun, by one photo of each; nouns with fewer toys are left out.
        noun: toys whose noun is said to be there.  alarm: pictures with a noun that is not there.
        mush: spoiled pictures in which a noun is still said to be there.
        place, style: right answers.  iou: mean over toys of the region against the exact mask.
        colour, pattern: right answers about a toy's region.  swapped: toys said to look like their neighbour.
    """
    names = _names(referee, renders)
    kept = [c for c, nouns in enumerate(names) if len(set(nouns)) == len(nouns)]
    pictures = renders.pictures.float() / 255
    verdicts = dict(zip(kept, judge(referee, pictures[kept], [names[c] for c in kept]), strict=True))
    toys = [(c, s) for c in kept for s in range(len(names[c]))]
    photos = torch.stack([renders.photos[c, s] for c, s in toys]).float() / 255
    by_toy = dict(zip(toys, judge(referee, photos, [[names[c][s]] for c, s in toys], photos=True), strict=True))
    config = referee.config
    return {
        "identity": proportion(_line_ups(rng, verdicts, by_toy, names)),
        "noun": proportion([verdicts[c].present[s] for c, s in toys]),
        "alarm": proportion(_alarms(referee, renders, kept)),
        "mush": proportion(_mush(referee, renders, rng, kept)),
        "place": proportion([config.places.index(verdicts[c].place) == int(renders.places[c]) for c in kept]),
        "style": proportion([config.styles.index(verdicts[c].style) == int(renders.styles[c]) for c in kept]),
        "iou": average([_iou(verdicts[c], renders, c, s) for c, s in toys]),
        **_looks(verdicts, renders, toys),
        "swapped": proportion(_swaps(verdicts, by_toy, names)),
    }


def _names(referee: Referee, renders: Renders) -> list[list[str]]:
    return [[referee.config.nouns[noun] for noun in row if noun != NONE] for row in renders.nouns.tolist()]


def _line_ups(
    rng: random.Random,
    verdicts: Mapping[int, Verdict],
    photos: Mapping[tuple[int, int], Verdict],
    names: list[list[str]],
) -> list[bool]:
    """For every toy: is its own photo nearer than those of 15 others of its noun?"""
    by_noun: dict[str, list[tuple[int, int]]] = {}
    for c, s in photos:
        by_noun.setdefault(names[c][s], []).append((c, s))
    hits = []
    for same in by_noun.values():
        for own, (c, s) in enumerate(same):
            if len(same) < CANDIDATES:
                continue
            rivals = draw_rivals(rng, CANDIDATES - 1, own, range(len(same)))
            line = torch.cat([photos[same[i]].identity for i in (own, *rivals)])
            right = bool(identity_hits(verdicts[c].identity[s][None], line[None])[0])
            hits.append(right and verdicts[c].found[s])
    return hits


def _alarms(referee: Referee, renders: Renders, kept: list[int]) -> list[bool]:
    """Whether a noun is seen in each picture that is not there."""
    alarms = []
    for chunk in torch.tensor(kept).split(32):
        seen = look_at(referee, renders.pictures[chunk].float() / 255).nouns.sigmoid().cpu() > PRESENT
        there = torch.zeros(len(chunk), seen.shape[1] + 1, dtype=torch.bool)
        there.scatter_(1, renders.nouns[chunk] + 1, True)
        alarms += (seen & ~there[:, 1:]).any(1).tolist()
    return alarms


def _mush(referee: Referee, renders: Renders, rng: random.Random, kept: list[int]) -> list[bool]:
    spoiled = torch.stack([spoil(rng, renders.pictures[c].float() / 255) for c in kept[:256]])
    seen = torch.cat([look_at(referee, chunk).nouns.sigmoid().cpu() for chunk in spoiled.split(32)])
    return (seen > PRESENT).any(1).tolist()


def _iou(verdict: Verdict, renders: Renders, scene: int, slot: int) -> float:
    return iou(verdict.regions[slot].numpy(), (renders.slots[scene] == 1 + slot).numpy())


def _looks(verdicts: Mapping[int, Verdict], renders: Renders, toys: list[tuple[int, int]]) -> dict[str, Estimate]:
    """Right answers about the main colour and the pattern."""
    right = {"colour": 0, "second": 1, "accent": 2, "pattern": 3}
    return {
        name: proportion([int(verdicts[c].look[k][s].argmax()) == int(renders.looks[c, s, k]) for c, s in toys])
        for name, k in right.items()
    }


def _swaps(
    verdicts: Mapping[int, Verdict], photos: Mapping[tuple[int, int], Verdict], names: list[list[str]]
) -> list[bool]:
    wrong: list[bool] = []
    for c, verdict in verdicts.items():
        if len(names[c]) < 2 or not all(verdict.found):
            continue
        shown = [photos[c, s].look for s in range(len(names[c]))]
        wrong += swapped(look_similarity(verdict.look, [torch.cat(parts) for parts in zip(*shown, strict=True)]))
    return wrong
