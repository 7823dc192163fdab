"""Files of token maps, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.errors import PromptError
from mmdiff_core.inspection.map_files import (
    overlay_with_legend,
    token_figure,
    token_steps_figure,
    value_text,
    write_token_maps,
)
from mmdiff_core.inspection.token_maps import SCALE_NAMES, TokenMaps

Traced = tuple[Image.Image, TokenMaps]


def test_every_word_and_concept_has_its_overlay(traced: Traced, tmp_path: Path) -> None:
    files = write_token_maps(*traced, tmp_path, "1")
    overlays = ["1_1_a-1.png", "1_2_cat.png", "1_3_a-2.png", "1_4_zebra.png", "1_5_dog.png"]
    assert [file.name for file in files] == [*overlays, "1_figure.pdf", "1_steps.pdf", "1_maps.npz", "1_report.html"]
    assert files[5].read_bytes().startswith(b"%PDF")
    with np.load(files[7]) as written:
        assert written["steps"].tolist() == [0, 1, 2]
        assert written["rows"].tolist()[-1] == "dog"
    with Image.open(files[1]) as drawn:
        assert drawn.width == 400
        assert drawn.height > 240  # the legend stands below


def test_names_that_were_asked_for(traced: Traced, tmp_path: Path) -> None:
    files = write_token_maps(*traced, tmp_path, "1", ["a 2", "zebra", "<padding>"], "contrast")
    assert [file.name for file in files[:3]] == ["1_1_a-2.png", "1_2_zebra.png", "1_3_padding.png"]
    with pytest.raises(PromptError, match='no map of "robot"'):
        write_token_maps(*traced, tmp_path, "2", ["robot"])
    assert not list(tmp_path.glob("2*"))


def test_the_legend_says_what_the_colours_mean() -> None:
    image = Image.new("RGB", (400, 300), "white")
    values = np.linspace(0.1, 0.3, 12, dtype=np.float32).reshape(3, 4)
    drawn = np.asarray(overlay_with_legend(image, values, "cat", "share", "#E69F00"))
    assert drawn.shape[1] == 400
    rows = drawn[300:].astype(int)
    bar = next(row for row in rows if (row != 255).any(-1).all())
    assert bar[0, 0] - bar[0, 2] < 10  # grey
    assert bar[-1, 0] - bar[-1, 2] > 100  # orange
    flat = np.asarray(overlay_with_legend(image, np.full((3, 4), 0.25), "cat", "share", "#E69F00"))
    assert flat.shape[0] < drawn.shape[0]


def test_the_steps_stand_side_by_side_on_one_scale(traced: Traced) -> None:
    image, maps = traced
    figure = token_steps_figure(image, maps, ["cat", "dog"], "z")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["step 1", "step 2", "step 3"]
    assert [figure.axes[0].get_ylabel(), figure.axes[3].get_ylabel()] == ["cat", "dog"]
    shown = [maps.at("cat", step, scale="z") for step in range(3)]
    for axes, values in zip(figure.axes[:3], shown, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), values)
        assert axes.images[0].get_clim() == pytest.approx((np.min(shown), np.max(shown)))


def test_values_as_people_read_them() -> None:
    assert [value_text(0.0123, scale) for scale in SCALE_NAMES] == ["1.23%", "1.23%", "+1.23%", "+0.0"]
    assert value_text(-1.26, "z") == "-1.3"


def test_the_figure_has_each_map_on_its_own_scale(traced: Traced) -> None:
    figure = token_figure(*traced, ["cat", "dog"], "contrast")
    assert [axes.get_title() for axes in figure.axes[:3]] == ["difference from the words' mean", "cat", "dog"]
    drawn = figure.axes[1].images[0]
    np.testing.assert_allclose(drawn.get_array(), traced[1].at("cat", scale="contrast"))
    assert drawn.get_clim()[0] == pytest.approx(min(0, float(traced[1].at("cat", scale="contrast").min())))
