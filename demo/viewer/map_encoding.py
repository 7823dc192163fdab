"""Maps of attention on their way to the browser: 8 bits a pixel, in base64.

Letters as in ``mmdiff_core.types``; K is the number of steps that a kind of map was recorded at.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch

from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.types import MapKind

MAX_BYTES_APART = 4 * 2**20  # bytes of a picture's maps with layers and heads apart; base64 adds a third


class PackedMap(TypedDict):
    """A map of attention: h * w bytes in base64; byte 0 stands for ``lo`` and byte 255 for ``hi``."""

    h: int
    w: int
    lo: float
    hi: float
    data: str


class PackedGroup(TypedDict):
    """The maps of one layer with its H heads apart, or of all layers of one size, averaged over layers and heads.

    ``layer`` is the layer's path, "" for an average; ``heads`` is 1 then. ``data`` holds K * S * H * h * w bytes in
    base64, ``ranges`` K * S * H pairs of little-endian float32: what bytes 0 and 255 of the map stand for. ``steps``
    are the K steps, counted from 0. For the prompt's other words S counts words.
    """

    h: int
    w: int
    layer: str
    layers: int
    heads: int
    steps: list[int]
    data: str
    ranges: str


class PackedMaps(TypedDict):
    """All maps of a picture: per kind, one group per size, the finest first. ``steps`` counts the picture's steps."""

    steps: int
    streams: dict[MapKind, list[PackedGroup]]


StepPack = dict[MapKind, list[PackedMap]]  # per kind of map, one per subject


def pack_map(values: np.ndarray) -> PackedMap:
    """(h, w) float -> 8 bits a pixel between its own lowest and highest value."""
    data, ranges = _to_bytes(values)
    lo, hi = map(float, ranges)
    return {"h": values.shape[0], "w": values.shape[1], "lo": lo, "hi": hi, "data": _base64(data)}


def pack_step(maps: AttentionMaps, step: int) -> StepPack:
    """The maps of one step (counted from 0), averaged over layers; kinds that the step has not are left out."""
    recorded = {kind for record in maps.records if record.step == step for kind in record.kinds}
    subjects = range(len(maps.subjects))
    return {kind: [pack_map(maps.at(i, kind, step)) for i in subjects] for kind in maps.kinds if kind in recorded}


def pack_maps(maps: AttentionMaps, newest: bool = False, most: int = MAX_BYTES_APART) -> PackedMaps:
    """Every step's maps, or the newest step's alone, which then counts as the only one.

    Args:
        maps: with heads apart or averaged.
        newest: the newest step alone.
        most: bytes up to which layers and heads stay apart; heavier maps are averaged per size of layer.
    """
    steps = maps.steps[-1:] if newest else maps.steps
    records = [record for record in maps.records if record.step in steps]
    values = [tensor for record in records for tensor in record.kinds.values()]
    apart = any(tensor.ndim == 4 for tensor in values) and sum(tensor.numel() for tensor in values) <= most
    packed: dict[MapKind, list[PackedGroup]] = {}
    kinds: tuple[MapKind, ...] = (*maps.kinds, *(("words",) if maps.others else ()))
    for kind in kinds:
        having = [record for record in records if kind in record.kinds]
        groups = _by_layer(having) if apart else _by_size(having)
        if having:
            packed[kind] = [_pack_group(group, kind, steps, apart) for group in groups]
    return {"steps": len(steps), "streams": packed}


def _by_layer(records: Sequence[StepMaps]) -> list[list[StepMaps]]:
    """The finest first."""
    layers = dict.fromkeys(record.layer for record in records)
    groups = [[record for record in records if record.layer == layer] for layer in layers]
    return sorted(groups, key=lambda group: -group[0].size[0] * group[0].size[1])


def _by_size(records: Sequence[StepMaps]) -> list[list[StepMaps]]:
    """The finest first."""
    sizes = sorted({record.size for record in records}, key=lambda size: -size[0] * size[1])
    return [[record for record in records if record.size == size] for size in sizes]


def _pack_group(records: Sequence[StepMaps], kind: MapKind, steps: Sequence[int], apart: bool) -> PackedGroup:
    """Records of one layer, heads apart, or of one size, averaged."""
    by_step: dict[int, list[torch.Tensor]] = {}
    for record in records:
        values = record.kinds[kind].float()
        values = values[:, None] if values.ndim == 3 else values  # (S, H, h, w)
        by_step.setdefault(record.step, []).append(values if apart else values.mean(1, keepdim=True))
    maps = torch.stack([torch.stack(layers).mean(0) for layers in by_step.values()]).numpy()  # (K, S, H, h, w)
    data, ranges = _to_bytes(maps)
    return {
        "h": maps.shape[3],
        "w": maps.shape[4],
        "layer": records[0].layer if apart else "",
        "layers": len({record.layer for record in records}),
        "heads": maps.shape[2],
        "steps": [steps.index(step) for step in by_step],
        "data": _base64(data),
        "ranges": _base64(ranges.astype("<f4")),
    }


def _to_bytes(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., h, w) float -> the same as uint8, and the range of each map (..., 2)."""
    lo, hi = maps.min((-2, -1)), maps.max((-2, -1))
    scale = np.divide(255, hi - lo, out=np.zeros_like(hi), where=hi > lo)
    scaled = (maps - lo[..., None, None]) * scale[..., None, None]
    return scaled.round().astype(np.uint8), np.stack([lo, hi], axis=-1)


def _base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
