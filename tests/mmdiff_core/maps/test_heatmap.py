"""Maps as colours over a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.maps.heatmap import PALETTE, colour_of, enlarge, is_flat, normalise, overlay, rgb

PICTURE = Image.new("RGB", (30, 20), (100, 100, 100))


def test_colours_are_apart_and_repeat() -> None:
    assert len(set(PALETTE)) == len(PALETTE) == 7
    assert colour_of(0) == colour_of(7) != colour_of(1)
    assert rgb("#E69F00") == (230, 159, 0)
    distances = [np.abs(np.subtract(rgb(a), rgb(b))).sum() for a in PALETTE for b in PALETTE if a < b]
    assert min(distances) > 60


def test_normalised_to_the_whole_range() -> None:
    values = normalise(np.array([[2.0, 3.0], [4.0, 6.0]]), percentile=100)
    assert np.allclose(values, [[0, 0.25], [0.5, 1]])


def test_one_bright_pixel_does_not_hide_the_rest() -> None:
    values = np.linspace(0, 1, 400).reshape(20, 20)
    values[0, 0] = 1000
    assert normalise(values)[10, 10] > 0.4


@pytest.mark.parametrize("value", [0.0, 0.37, 1e-8])
def test_flat_map_shows_nothing(value: float) -> None:
    assert (normalise(np.full((4, 6), value)) == 0).all()
    assert np.array_equal(np.asarray(overlay(PICTURE, np.full((4, 6), value), PALETTE[0])), np.asarray(PICTURE))


def test_a_map_with_hardly_any_contrast_is_flat() -> None:
    """As on the page: it would show nothing but noise."""
    even, uneven = (np.linspace(1 - contrast, 1, 12).reshape(3, 4) for contrast in (0.015, 0.04))
    assert is_flat(even)
    assert not normalise(even).any()
    assert not is_flat(uneven)
    assert not is_flat(uneven * 1e-6)  # the contrast counts, not the height
    assert normalise(uneven).max() == 1


def test_enlarged_keeps_the_sides_apart() -> None:
    values = np.zeros((2, 3))
    values[0, 2] = 1
    large = enlarge(values, (30, 20))
    assert large.shape == (20, 30)
    assert large[2, 27] == 1
    assert large[17, 2] == 0


def test_overlay_colours_the_peak_only() -> None:
    values = np.zeros((2, 3))
    values[0, 0] = 1
    shown = overlay(PICTURE, values, "#FF0000", opacity=0.5)
    assert shown.size == PICTURE.size
    assert shown.getpixel((0, 0)) == (178, 50, 50)
    assert shown.getpixel((29, 19)) == (100, 100, 100)


def test_full_opacity_is_the_colour_itself() -> None:
    values = np.zeros((2, 3))
    values[0, 0] = 1
    assert overlay(PICTURE, values, "#0072B2", opacity=1.0).getpixel((0, 0)) == rgb("#0072B2")
