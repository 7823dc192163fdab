"""What page and core both compute comes out the same: the scaling of a map, and averages of maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from demo.viewer.map_encoding import pack_maps
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.heatmap import normalise
from tests.helpers.node import run_script

RANDOM = np.random.default_rng(0)
MAPS = {
    "random": RANDOM.uniform(0.1, 0.9, (16, 16)),
    "one bright pixel": np.pad(np.ones((1, 1)), ((3, 4), (5, 2))),
    "small values": RANDOM.uniform(0, 1e-6, (8, 12)),
    "a single row": RANDOM.uniform(0, 1, (1, 7)),
    "nearly flat": 1 + RANDOM.uniform(0, 0.019, (8, 8)),
    "hardly not flat": np.linspace(1, 1.03, 64).reshape(8, 8),
    "even": np.full((4, 4), 0.25),
    "zero": np.zeros((4, 4)),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_scaled_alike(name: str) -> None:
    values = MAPS[name].astype(np.float32)
    given = {"h": values.shape[0], "w": values.shape[1], "values": values.ravel().tolist()}
    page = run_script(
        ["viewer/heatmap"],
        "Array.from(scaledMap({ ...given, values: Float32Array.from(given.values) }).values)",
        given,
    )
    np.testing.assert_allclose(np.reshape(page, values.shape), normalise(values), atol=1e-5)


@pytest.fixture(scope="module")
def maps() -> AttentionMaps:
    """Three steps, the first without an image map; layers of two sizes, one of them with its heads apart."""
    generator = torch.Generator().manual_seed(0)
    records = []
    for step in range(3):
        for layer, shape in (("a", (2, 8, 12)), ("b", (2, 8, 12)), ("c", (2, 4, 4, 6))):
            kinds = {
                kind: torch.rand(shape, generator=generator).half() for kind in (("text", "image")[: 1 + bool(step)])
            }
            records.append(StepMaps(step, layer, shape[-2:], kinds))
    return AttentionMaps(("cat", "robot"), tuple(records))


@pytest.mark.parametrize("kind", ["text", "image"])
@pytest.mark.parametrize("max_bytes", [0, 2**20], ids=["averages", "heads apart"])
def test_maps_are_averaged_alike(maps: AttentionMaps, kind: str, max_bytes: int) -> None:
    page = run_script(
        ["viewer/heatmap", "viewer/map_decoding"],
        "[null, 2].map((step) => Array.from(mapOf(given.packed, given.kind, 1, { step }).values))",
        {"packed": pack_maps(maps, max_bytes=max_bytes), "kind": kind},
    )
    core = [maps.at("robot", kind, step).ravel() for step in (None, 2)]  # type: ignore[arg-type]
    np.testing.assert_allclose(page, core, atol=1 / 255)
