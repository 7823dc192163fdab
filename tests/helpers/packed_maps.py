"""Packed maps as the browser reads them."""

from __future__ import annotations

import base64

import numpy as np

from demo.viewer.map_encoding import PackedGroup


def unpacked(group: PackedGroup) -> np.ndarray:
    """(K, S, H, h, w), or (K, S, h, w) of averages, as map_decoding.js reads it."""
    heads = (group["heads"],) if group["layer"] else ()
    shape = (len(group["steps"]), -1, *heads, group["h"], group["w"])
    data = np.frombuffer(base64.b64decode(group["data"]), np.uint8).reshape(shape)
    lo, hi = np.moveaxis(np.frombuffer(base64.b64decode(group["ranges"]), "<f4").reshape(*data.shape[:-2], 2), -1, 0)
    return lo[..., None, None] + data * ((hi - lo) / 255)[..., None, None]
