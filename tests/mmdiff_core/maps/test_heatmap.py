"""Maps as colours over a picture."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.maps.heatmap import (
    PALETTE,
    PALETTE_TABLES,
    HeatmapStyle,
    colour_of,
    enlarge,
    is_flat,
    normalise,
    overlay,
    overlay_maps,
    palette_colours,
    rgb,
    strengths_of,
)

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
    assert len(set(overlay(PICTURE, np.full((4, 6), value), PALETTE[0]).get_flattened_data())) == 1  # grey, no colour


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


def test_the_picture_turns_grey_and_the_peak_takes_the_colour() -> None:
    """A blue subject on a blue sea is seen: only what attends keeps a colour."""
    sea = Image.new("RGB", (30, 20), (20, 90, 220))
    values = np.zeros((2, 3))
    values[0, 0] = 1
    shown = overlay_maps(sea, [values], ["#0072B2"], HeatmapStyle(outline=False))
    peak, rest = shown.getpixel((0, 0)), shown.getpixel((29, 19))
    assert max(rest) == min(rest)
    assert peak[2] > 60 + peak[0]


def test_opacity_leads_from_the_picture_to_the_heatmap() -> None:
    values = np.linspace(0, 1, 6).reshape(2, 3)
    none, half, full = (
        np.asarray(overlay_maps(PICTURE, [values], ["#FF0000"], HeatmapStyle(opacity, outline=False)), float)
        for opacity in (0.0, 0.5, 1.0)
    )
    assert (none == 100).all()
    assert np.abs((none + full) / 2 - half).max() <= 1


def test_the_threshold_hides_what_is_below_it() -> None:
    values = np.array([[0.2, 1.0], [0.2, 0.0]])
    style = HeatmapStyle(threshold=0.5, outline=False)
    shown = np.asarray(overlay_maps(PICTURE, [np.kron(values, np.ones((8, 8)))], ["#FF0000"], style))
    assert np.ptp(shown[2, 2]) == 0
    assert np.ptp(shown[2, -2]) > 50


def test_the_order_of_subjects_does_not_matter() -> None:
    one, two = np.linspace(0, 1, 12).reshape(3, 4), np.linspace(1, 0, 12).reshape(3, 4)
    style = HeatmapStyle(outline=False)
    ahead = overlay_maps(PICTURE, [one, two], ["#FF0000", "#0000FF"], style)
    assert ahead.tobytes() == overlay_maps(PICTURE, [two, one], ["#0000FF", "#FF0000"], style).tobytes()


def test_an_outline_surrounds_the_peak() -> None:
    values = np.exp(-((np.mgrid[:40, :40] - 19.5) ** 2).sum(0) / 80)
    image = Image.new("RGB", (400, 400), (100, 100, 100))
    plain, lined = (
        np.asarray(overlay_maps(image, [values], ["#FF0000"], HeatmapStyle(outline=outline)), int)
        for outline in (False, True)
    )
    rows, columns = np.nonzero(np.abs(plain - lined).sum(-1) > 60)
    radius = np.hypot(rows - 199.5, columns - 199.5)
    assert len(rows) > 200
    assert radius.std() < 3
    assert overlay_maps(Image.new("RGB", (9, 1)), [values], ["#FF0000"]).size == (9, 1)  # too low for a slope


def test_an_outline_goes_straight_on_to_the_edge() -> None:
    """Over the outermost half of a cell, of which the map tells nothing, it must not turn towards the edge."""
    rows, columns = np.mgrid[:12, :12]
    values = rows + 2.0 * columns  # its middle lies on a slanted line from edge to edge
    image = Image.new("RGB", (480, 480), (100, 100, 100))
    plain, lined = (
        np.asarray(overlay_maps(image, [values], ["#FF0000"], HeatmapStyle(outline=outline)), int)
        for outline in (False, True)
    )
    drawn = np.abs(plain - lined).sum(-1)
    middle = (drawn * np.arange(480)).sum(1) / drawn.sum(1)
    slope, start = np.polyfit(np.arange(480), middle, 1)
    assert slope == pytest.approx(-0.5, abs=0.01)
    assert np.abs(middle - (start + slope * np.arange(480))).max() < 1


def test_strengths_stay_between_0_and_1() -> None:
    drawn = strengths_of(np.array([[0.0, 1.0, 0.5]]), (60, 4))
    assert (drawn[:, 0] == 0).all()  # clipped: it would fall on
    assert strengths_of(np.array([[0.0, 0.5, 1.0]]), (60, 4)).max() == 1
    assert (drawn[:, 59] < drawn[:, 50] - 0.1).all()  # it falls on beyond the middle of the last cell
    assert (np.ptp(drawn, 0) == 0).all()  # a single row tells nothing of what is above it


@pytest.mark.parametrize("palette", ["viridis", "inferno"])
def test_a_palette_shows_the_strongest(palette: str) -> None:
    values = np.array([[0.0, 1.0]])
    shown = overlay_maps(
        PICTURE, [values, values[:, ::-1]], ["#FF0000"] * 2, HeatmapStyle(palette=palette, outline=False)
    )
    assert shown.getpixel((0, 0)) == shown.getpixel((29, 0))
    assert shown.getpixel((0, 0)) != shown.getpixel((15, 0))
    assert np.allclose(palette_colours(palette, np.array([0.0]))[0] * 255, rgb(PALETTE_TABLES[palette].split()[0]))


def test_without_maps_the_picture_stays() -> None:
    assert overlay_maps(PICTURE, [], []).tobytes() == PICTURE.tobytes()
