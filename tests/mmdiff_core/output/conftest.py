"""A finished image with maps of two subjects at twelve steps."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import Word

SETTINGS = {
    "model": "toybox",
    "prompt": "a cat, a dog",
    "negative_prompt": "",
    "seed": 3,
    "steps": 12,
    "guidance": 3.0,
    "width": 32,
    "height": 24,
}


@pytest.fixture(scope="session")
def generated() -> GeneratedImage:
    """Twelve steps; the first has no image map. The cat's maps grow from 0 at its left column."""
    records = []
    for step in range(12):
        maps = torch.zeros(2, 3, 4)
        maps[0, :, 0], maps[1, :, 3] = step / 12, 0.5
        kinds = {"text": maps.half()} | ({"image": maps.half()} if step else {})
        records.append(StepMaps(step, "mid", (3, 4), kinds))
    words = (Word(0, "cat", 2, 5), Word(1, "dog", 9, 12))
    return GeneratedImage(
        Image.new("RGB", (32, 24), "grey"), 3, AttentionMaps(("cat", "dog"), tuple(records)), words, SETTINGS
    )


@pytest.fixture(scope="session")
def previews() -> list[Image.Image]:
    return [Image.new("RGB", (8, 6), (20 * step, 0, 0)) for step in range(12)]
