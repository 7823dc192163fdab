"""Maps of attention on their way to the browser: 8 bits a pixel, in base64. map_decoding.js reads them.

Letters as in ``mmdiff_core.types``; K is the number of steps that a kind of map was recorded at.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TypedDict

import numpy as np
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps, average_maps
from mmdiff_core.types import MapKind

AVERAGED_SIDE = 32  # pixels of the maps inside of a saved picture
MAX_BYTES_APART = 4 * 2**20  # bytes of a picture's maps with layers and heads apart; base64 adds a third


class PackedGroup(TypedDict):
    """The maps of one layer with its H heads, or averages over heads and over several layers.

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
    """Maps of a picture: groups of each kind, the finest first. ``steps`` counts the steps."""

    steps: int
    kinds: dict[MapKind, list[PackedGroup]]


NO_MAPS: PackedMaps = {"steps": 0, "kinds": {}}


def pack_maps(maps: AttentionMaps | None, newest: bool = False, max_bytes: int = MAX_BYTES_APART) -> PackedMaps:
    """Pack every step's maps, or those of the newest step alone, which then counts as the only one.

    Args:
        maps: with heads apart or averaged.
        newest: the newest step alone.
        max_bytes: heavier maps are averaged over heads, and over the layers of one size.
    """
    if maps is None:
        return NO_MAPS
    steps = maps.steps[-1:] if newest else maps.steps
    records = [record for record in maps.records if record.step in steps]
    values = [tensor for record in records for tensor in record.kinds.values()]
    apart = any(tensor.ndim == 4 for tensor in values) and sum(tensor.numel() for tensor in values) <= max_bytes
    kinds: tuple[MapKind, ...] = (*maps.kinds, *(("words",) if maps.others else ()))
    packed: dict[MapKind, list[PackedGroup]] = {}
    for kind in kinds:
        recorded = [record for record in records if kind in record.kinds]
        if recorded:
            groups = _grouped(recorded, by_layer=apart)
            packed[kind] = [_pack_records(group, kind, steps, apart) for group in groups]
    return {"steps": len(steps), "kinds": packed}


def pack_averages(maps: AttentionMaps | None, words: bool = False) -> PackedMaps:
    """Pack one map per kind and subject, averaged over steps and layers, as that of a single step.

    Args:
        maps: with heads apart or averaged.
        words: also one of each of the prompt's other words.
    """
    if maps is None or not maps.records or not maps.subjects:
        return NO_MAPS
    kinds: tuple[MapKind, ...] = (*maps.kinds, *(("words",) if words and maps.others else ()))
    averages = {kind: _average(maps, kind)[None, :, None] for kind in kinds}
    return {"steps": 1, "kinds": {kind: [_pack(each, [0], len(maps.layers))] for kind, each in averages.items()}}


def _average(maps: AttentionMaps, kind: MapKind) -> np.ndarray:
    """The maps (S, h, w) of a kind over steps, layers and heads."""
    values = [record.kinds[kind].float() for record in maps.records if kind in record.kinds]
    together = average_maps([x if x.ndim == 3 else x.mean(1) for x in values], maps.size)
    return np.asarray(together.numpy())


def pack_tokens(tokens: TokenMaps, newest: bool = False) -> PackedMaps:
    """Pack the maps of an inspected prompt, a row for each token and concept; see :func:`pack_maps`."""
    names = (*(token.text for token in tokens.table.tokens), *tokens.concepts)
    records = (StepMaps(r.step, r.layer, r.size, {"words": r.shares}) for r in tokens.records)
    return pack_maps(AttentionMaps((), tuple(records), names), newest)


def averaged_npz(maps: AttentionMaps | TokenMaps | None) -> bytes:
    """Return maps as an npz of a few kilobytes, averaged over steps and layers; empty where there are none."""
    if maps is None or not maps.records:
        return b""
    buffer = io.BytesIO()
    maps.averaged(AVERAGED_SIDE).to_npz(buffer)
    return buffer.getvalue()


def read_saved_maps(data: bytes) -> AttentionMaps | TokenMaps | None:
    """Return the maps of an npz that was saved with a picture; None where it holds something else."""
    for kind in (TokenMaps, AttentionMaps):
        with suppress(SettingsError):
            return kind.from_npz(data)
    return None


def quantised(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps (..., h, w) as uint8, each over its own range, and these ranges (..., 2)."""
    lo, hi = maps.min((-2, -1)), maps.max((-2, -1))
    scale = np.divide(255, hi - lo, out=np.zeros_like(hi), where=hi > lo)
    scaled = (maps - lo[..., None, None]) * scale[..., None, None]
    return scaled.round().astype(np.uint8), np.stack([lo, hi], axis=-1)


def base64_text(values: np.ndarray) -> str:
    """Return an array's bytes in base64."""
    return base64.b64encode(values.tobytes()).decode()


def _grouped(records: Sequence[StepMaps], by_layer: bool) -> Iterable[list[StepMaps]]:
    """The records of each layer, or of each size of layer, the finest first."""
    groups: dict[object, list[StepMaps]] = {}
    for record in records:
        groups.setdefault(record.layer if by_layer else record.size, []).append(record)
    return sorted(groups.values(), key=lambda group: -group[0].size[0] * group[0].size[1])


def _pack_records(records: Sequence[StepMaps], kind: MapKind, steps: Sequence[int], apart: bool) -> PackedGroup:
    """Records of one layer, with heads apart, or of one size, averaged."""
    by_step: dict[int, list[torch.Tensor]] = {}
    for record in records:
        values = record.kinds[kind].float()
        values = values[:, None] if values.ndim == 3 else values  # (S, H, h, w)
        by_step.setdefault(record.step, []).append(values if apart else values.mean(1, keepdim=True))
    maps = torch.stack([torch.stack(layers).mean(0) for layers in by_step.values()]).numpy()  # (K, S, H, h, w)
    layers = {record.layer for record in records}
    return _pack(maps, [steps.index(step) for step in by_step], len(layers), records[0].layer if apart else "")


def _pack(maps: np.ndarray, steps: list[int], layers: int, layer: str = "") -> PackedGroup:
    """Maps (K, S, H, h, w)."""
    data, ranges = quantised(maps)
    return {
        "h": maps.shape[3],
        "w": maps.shape[4],
        "layer": layer,
        "layers": layers,
        "heads": maps.shape[2],
        "steps": steps,
        "data": base64_text(data),
        "ranges": base64_text(ranges.astype("<f4")),
    }
