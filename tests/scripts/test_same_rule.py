"""What page and core both compute comes out the same: the scaling of a map, averages of maps, and drawn heatmaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from demo.inspect.token_parts import token_record
from demo.viewer.map_encoding import pack_maps, pack_tokens
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_maps import SCALES, Scale, TokenMaps
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.heatmap import HeatmapStyle, normalise, overlay_maps
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
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


@pytest.mark.parametrize(
    "style",
    [
        HeatmapStyle(),
        HeatmapStyle(opacity=0.6, threshold=0.3),
        HeatmapStyle(palette="inferno", threshold=0.4),
        HeatmapStyle(palette="viridis", outline=False),
    ],
    ids=str,
)
def test_a_heatmap_is_drawn_alike(style: HeatmapStyle) -> None:
    picture = RANDOM.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    maps = [RANDOM.uniform(0, 1, shape).astype(np.float32) for shape in ((4, 6), (8, 12))]
    colours = ["#E69F00", "#0072B2"]
    layers = [
        {"colour": colour, "map": {"h": len(values), "w": len(values[0]), "values": values.ravel().tolist()}}
        for colour, values in zip(colours, maps, strict=True)
    ]
    rgba = np.dstack([picture, np.full((60, 90), 255, np.uint8)])
    page = run_script(
        ["viewer/heatmap", "viewer/palettes", "viewer/overlay"],
        "Array.from(overlayPixels(Uint8ClampedArray.from(given.pixels), 90, 60, given.layers.map((layer) =>"
        " ({ ...layer, map: { ...layer.map, values: Float32Array.from(layer.map.values) } })), given.style))",
        {"pixels": rgba.ravel().tolist(), "layers": layers, "style": vars(style)},
    )
    core = np.asarray(overlay_maps(Image.fromarray(picture), maps, colours, style), dtype=int)
    drawn = np.reshape(page, (60, 90, 4))
    assert (drawn[..., 3] == 255).all()
    assert np.abs(drawn[..., :3] - core).max() <= 2  # of 255; most are equal
    assert np.abs(drawn[..., :3] - core).mean() < 0.05


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenMaps:
    model = tiny.personalizer("sd", tmp_path_factory.mktemp("sd"), with_adapter=False)
    request = GenerateRequest("a cat on sand", steps=2, width=32, height=32)
    *_, last = model.inspect(request, TokenRecording(concepts=("dog",)))
    return last.tokens


@pytest.mark.parametrize("scale", SCALES)
def test_scales_tell_the_same(tokens: TokenMaps, scale: Scale) -> None:
    """Of every part of a prompt; a word's pieces are added up, and layers enlarged before they are averaged."""
    record = token_record(tokens)
    page = run_script(
        ["viewer/heatmap", "viewer/map_decoding"],
        "given.parts.map(({ rows }) => {"
        " const sum = (all) => summed(all.map((row) => mapOf(given.packed, 'words', row)));"
        " const own = sum(rows.filter((row) => given.words.includes(row)));"
        " return Array.from(inScale(given.scale, sum(rows), sum(given.words), given.count, own).values); })",
        {"packed": pack_tokens(tokens), "scale": scale, **record},
    )
    named = [part["name"] if part["kind"] != "piece" else part["rows"][0] for part in record["parts"]]
    core = [tokens.at(name, scale=scale).ravel() for name in named]
    share = max(float(tokens.at("<rest>").max()), 1e-6)
    np.testing.assert_allclose(page, core, atol={"z": 0.3}.get(scale, 4 * share / 255))
