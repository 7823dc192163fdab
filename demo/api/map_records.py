"""The maps of a step as the endpoints return them: a record per subject."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from demo.viewer.map_encoding import base64_text, quantised
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.types import MapKind


class MapRecord(TypedDict):
    """A map of attention: h * w bytes in base64; byte 0 stands for ``lo`` and byte 255 for ``hi``."""

    h: int
    w: int
    lo: float
    hi: float
    data: str


def step_records(maps: AttentionMaps, step: int) -> dict[MapKind, list[MapRecord]]:
    """Return the maps of a step, counted from 0, averaged over layers: for each kind that it has, one per subject."""
    recorded = {kind for record in maps.records if record.step == step for kind in record.kinds}
    subjects = range(len(maps.subjects))
    return {kind: [map_record(maps.at(i, kind, step)) for i in subjects] for kind in maps.kinds if kind in recorded}


def map_record(values: np.ndarray) -> MapRecord:
    """Return a map (h, w) with 8 bits a pixel between its lowest and highest value."""
    data, (lo, hi) = quantised(values)
    return {"h": values.shape[0], "w": values.shape[1], "lo": float(lo), "hi": float(hi), "data": base64_text(data)}
