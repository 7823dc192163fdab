"""Grids of images and text: sizes, places, colours and line breaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.output.image_grid import (
    GAP,
    Line,
    captioned,
    image_grid,
    shared_cell,
    text_block,
    to_image,
    to_pixels,
)
from tests.helpers import tiny

RED, WIDE = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 20), "blue")
WHITE = (255, 255, 255)


def test_tensors_become_images_and_back() -> None:
    pixels = torch.tensor([[0.0, 1.0], [0.5, 2.0]]).expand(3, 2, 2)  # what exceeds 1 is clipped
    image = to_image(pixels)
    assert np.asarray(image)[..., 0].tolist() == [[0, 255], [128, 255]]
    assert to_image(torch.from_numpy(np.asarray(image)).movedim(-1, 0)).tobytes() == image.tobytes()
    assert to_pixels(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_rows_are_as_high_as_their_highest_image() -> None:
    grid = image_grid([[RED, WIDE], [WIDE]])
    assert grid.size == (2 * (40 + GAP), 40 + 20 + 2 * GAP)
    assert grid.getpixel((39, 39)) == (255, 0, 0)
    assert grid.getpixel((40 + GAP, 19)) == (0, 0, 255)
    assert grid.getpixel((40 + GAP, 20)) == WHITE  # below a low image
    assert grid.getpixel((0, 40 + GAP)) == (0, 0, 255)
    assert grid.getpixel((40, 0)) == WHITE  # a gap


def test_a_row_may_be_a_tensor_and_a_gap_may_be_missing() -> None:
    row = torch.stack([torch.zeros(3, 4, 6), torch.ones(3, 4, 6)])
    grid = image_grid([row], gap=0)
    assert grid.size == (12, 4)
    assert np.asarray(grid)[0, :, 0].tolist() == [0] * 6 + [255] * 6


def test_text_is_wrapped_at_words() -> None:
    one, two = (text_block(["cat and dog"], width) for width in (200, 50))
    assert two.height - one.height == Line("").height
    assert one.width == 200
    assert np.asarray(one).min() < 100 < np.asarray(one).max()
    assert text_block(["incomprehensibilities"], 20).height == text_block(["a"], 20).height  # one word stays whole


def test_lines_have_their_own_colour_and_size() -> None:
    block = text_block([Line("red", "#ff0000"), Line("large", size=30)], 200, background="#eeeeff")
    pixels = np.asarray(block).astype(int)
    assert block.getpixel((199, 0)) == (0xEE, 0xEE, 0xFF)
    first = pixels[: Line("").height]
    assert (first[..., 0] - first[..., 1]).max() > 100
    assert block.height == 6 + Line("").height + Line("", size=30).height


def test_a_block_of_fixed_height_cuts_text_off() -> None:
    lines = [f"line {k}" for k in range(9)]
    block = text_block(lines, 100, 20)
    assert block.size == (100, 20)
    assert block.tobytes() == text_block(lines, 100).crop((0, 0, 100, 20)).tobytes()


def test_a_caption_stands_below_its_image() -> None:
    cell = captioned(RED, ["red"])
    assert cell.size == (40, 40 + text_block(["red"], 40).height)
    assert cell.crop((0, 0, 40, 40)).tobytes() == RED.tobytes()
    assert captioned(RED, ["red"], height=50).height == 90


def test_images_share_the_space_of_one() -> None:
    assert shared_cell([RED], (40, 40)).getpixel((30, 30)) == (255, 0, 0)
    pair = shared_cell([RED, WIDE], (40, 40))
    assert pair.getpixel((10, 10)) == (255, 0, 0)
    assert pair.getpixel((30, 5)) == (0, 0, 255)
    assert pair.getpixel((30, 15)) == WHITE  # it keeps its shape
    assert shared_cell([], (40, 40)).getextrema() == ((255, 255),) * 3
    assert shared_cell([tiny.photo(k) for k in range(6)], (40, 40)).size == (40, 40)
