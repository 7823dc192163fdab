"""Ways to make one map of what was recorded: which kind, which layers, steps and heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps, average_maps
from mmdiff_core.nn.config import AttentionLayer

PointingKind = Literal["text", "contrast", "image", "influence", "daam"]
POINTING_KINDS: tuple[PointingKind, ...] = get_args(PointingKind)
QUARTERS = 4  # ranges of steps, from the noisiest to the clearest


@dataclass(frozen=True, order=True)
class MapChoice:
    """A kind of map and what it is averaged over; None: over all there are.

    ``contrast`` is the word's share less the mean share of the prompt's words. ``daam`` is the word's share by the
    rule of DAAM (Tang et al., arXiv 2210.04885): the map of each head enlarged bicubically to the latents, cut off at
    zero, and all of them averaged.
    """

    kind: PointingKind
    layer: str | None = None
    quarter: int | None = None  # of the steps, from 0
    head: int | None = None
    finest: bool = False  # the layers of the finest size alone


def map_choices(layers: Sequence[AttentionLayer]) -> tuple[MapChoice, ...]:
    """Return everything to measure of a network with those cross-attention layers.

    Each kind over everything, over the finest layers, per layer, per quarter of the steps, and per head of a layer.
    """
    quarters = (None, *range(QUARTERS))

    def of_kind(kind: PointingKind) -> Iterator[MapChoice]:
        yield from (MapChoice(kind, quarter=quarter) for quarter in quarters)
        yield from (MapChoice(kind, quarter=quarter, finest=True) for quarter in quarters)
        for layer in layers:
            yield from (MapChoice(kind, layer.path, quarter) for quarter in quarters)
            yield from (MapChoice(kind, layer.path, head=head) for head in range(layer.heads))

    whole = (choice for kind in POINTING_KINDS if kind != "daam" for choice in of_kind(kind))
    return (*whole, MapChoice("daam"))


def chosen_map(maps: AttentionMaps, subject: int, choice: MapChoice, latent_size: tuple[int, int]) -> np.ndarray:
    """Return the map (h, w) of a choice, layers enlarged to the finest of them.

    Args:
        maps: recorded with heads apart and with the prompt's other words.
        subject: its number.
        choice: one of :func:`map_choices`.
        latent_size: (h, w) of the latents, which DAAM enlarges to.
    """
    steps = len(maps.steps)
    records = [
        record
        for record in maps.records
        if choice.layer in (None, record.layer)
        and (not choice.finest or record.size == maps.size)
        and choice.quarter in (None, maps.steps.index(record.step) * QUARTERS // steps)
    ]
    heads = [_values(record, subject, choice) for record in records]
    if choice.kind == "daam":
        enlarged = [F.interpolate(values[None], latent_size, mode="bicubic")[0].clamp(min=0) for values in heads]
        return torch.cat(enlarged).mean(0).numpy()
    size = maps.size if choice.layer is None else maps.layers[choice.layer]
    found = [values.mean(0) if choice.head is None else values[choice.head] for values in heads]
    return average_maps(found, size).numpy()


def _values(record: StepMaps, subject: int, choice: MapChoice) -> Tensor:
    """Return a subject's values of a layer in a step, (H, h, w)."""
    if choice.kind in ("image", "influence"):
        return record.kinds[choice.kind][subject].float()
    own = record.kinds["text"].float()  # (S, H, h, w)
    if choice.kind != "contrast":
        return own[subject]
    words = torch.cat([own, record.kinds["words"].float()]) if "words" in record.kinds else own
    return own[subject] - words.mean(0)
