"""Token maps of a tiny run."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from mmdiff_core import record_attention
from mmdiff_core.inspection.token_maps import TokenMaps
from tests.helpers import tiny


@pytest.fixture(scope="package")
def traced() -> tuple[Image.Image, TokenMaps]:
    """Return an image of 40 x 24 pixels and its maps, with a concept and a word that occurs twice."""
    pipe = tiny.stable_diffusion()
    pipe.set_progress_bar_config(disable=True)
    with record_attention(pipe, concepts=("dog",)) as maps:
        image = pipe(
            "a cat, a zebra",
            num_inference_steps=3,
            width=40,
            height=24,
            generator=torch.Generator().manual_seed(0),
        ).images[0]
    return image, maps[0]
