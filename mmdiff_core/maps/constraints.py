"""Attention-map constraints: losses that tie every subject to its own region (paper, section 3.3).

The paper constrains the maps of the subjects' words and of their image tokens; the form of the loss is
FastComposer's balanced L1 (its equation 4): attention outside the subject's mask minus attention inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.nn.records import LayerMaps
from mmdiff_core.types import MapKind

LayerChoice = Literal["all", "coarse", "fine"]


def constraint_losses(
    maps: Sequence[LayerMaps],
    weights: Mapping[MapKind, float],
    masks: Tensor,
    present: Tensor | Mapping[MapKind, Tensor],
    per_sample: bool = False,
) -> dict[str, Tensor]:
    """Return the weighted constraint on each kind of map, as ``text_map`` and ``image_map``.

    Args:
        maps: as of :func:`attention_constraint`.
        weights: of the kinds of map; a kind of weight 0 is left out.
        masks: as of :func:`attention_constraint`.
        present: (B, S) bool, the subjects that count; or that of each kind of map.
        per_sample: as of :func:`attention_constraint`.

    Raises:
        ValueError: as :func:`attention_constraint`.
    """
    return {
        f"{kind}_map": weight
        * attention_constraint(
            maps, kind, masks, present[kind] if isinstance(present, Mapping) else present, per_sample
        )
        for kind, weight in weights.items()
        if weight
    }


def attention_constraint(
    maps: Sequence[LayerMaps], kind: MapKind, masks: Tensor, present: Tensor, per_sample: bool = False
) -> Tensor:
    """Return the mean over layers and subjects of ``mean(A outside M) - mean(A inside M)``.

    Args:
        maps: recorded layers whose map of ``kind`` is (B, S, h, w), with gradient; layers without it do not count.
        kind: ``text`` for the maps of the subjects' words, ``image`` for those of their tokens.
        masks: (B, S, H, W) in [0, 1], any size; averaged down to each layer.
        present: (B, S) bool, the subjects that count.
        per_sample: average over the subjects of each sample, then over the samples, those without a subject counting as
            0, so that a batch may be split; else over all the subjects of the batch.

    Returns:
        A scalar between -1 (every subject attended in its own region only) and 1.

    Raises:
        ValueError: no layer was recorded, or a map carries no gradient, so that the loss would be void.
    """
    maps = [layer for layer in maps if kind in layer.kinds]
    if not maps:
        raise ValueError(f"no layer recorded a {kind} map: there is nothing to constrain")
    if not present.any():
        return masks.new_zeros(())
    return torch.stack([_one_layer(layer, kind, masks, present, per_sample) for layer in maps]).mean()


def choose_layers(maps: Sequence[LayerMaps], which: LayerChoice) -> Sequence[LayerMaps]:
    """Return the layers that a constraint acts on: all, only those of the finest resolution, or all the others."""
    if which == "all":
        return maps
    finest = max((layer.size[0] * layer.size[1] for layer in maps), default=0)
    return [layer for layer in maps if (layer.size[0] * layer.size[1] == finest) == (which == "fine")]


def _one_layer(layer: LayerMaps, kind: MapKind, masks: Tensor, present: Tensor, per_sample: bool) -> Tensor:
    attention = layer.kinds[kind].float()  # (B, S, h, w)
    if torch.is_grad_enabled() and not attention.requires_grad:
        raise ValueError(f"the {kind} map of {layer.layer} carries no gradient: the constraint would train nothing")
    inside = F.adaptive_avg_pool2d(masks.float(), layer.size)  # (B, S, h, w)
    difference = _mean(attention, 1 - inside) - _mean(attention, inside)  # (B, S)
    # A subject hidden at this resolution has no inside: it cannot be judged here.
    counts = present & (inside.flatten(2).amax(-1) > 0)
    over = (1,) if per_sample else (0, 1)
    return ((difference * counts).sum(over) / counts.sum(over).clamp(min=1)).mean()


def _mean(attention: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean (B, S) of the attention (B, S, h, w) over the pixels."""
    return (attention * weight).flatten(2).sum(-1) / weight.flatten(2).sum(-1).clamp(min=1e-6)
