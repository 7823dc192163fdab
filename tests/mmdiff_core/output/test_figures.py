"""Figures of an image's maps: on their own scales, with every step in its place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.output.figures import MAX_COLUMNS, encode_figure, overview_figure, steps_figure
from mmdiff_core.results import GeneratedImage


def test_the_overview_has_a_panel_and_a_bar_per_subject(generated: GeneratedImage) -> None:
    figure = overview_figure(generated, "text")
    titles = [axes.get_title() for axes in figure.axes[:3]]
    assert titles == ["seed 3", "cat (word)", "dog (word)"]
    assert len(figure.axes) == 3 + 2
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), generated.maps.at("cat", "text"))


@pytest.mark.slow
def test_the_steps_run_from_first_to_last_on_one_scale(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    figure = steps_figure(generated, previews, "image")
    first, *_, last = (axes.get_title() for axes in figure.axes[:MAX_COLUMNS])
    assert (first, last) == ("step 1", "step 12")
    cats = figure.axes[MAX_COLUMNS : 2 * MAX_COLUMNS]
    assert len(cats[0].images) == 0  # a step that has no image map stays empty
    for axes in cats[1:]:
        assert axes.images[0].get_clim() == pytest.approx((0, 11 / 12), abs=1e-3)


def test_without_previews_there_is_a_row_per_subject(generated: GeneratedImage) -> None:
    figure = steps_figure(generated, kind="text")
    assert len(figure.axes) == 2 * MAX_COLUMNS
    assert [figure.axes[0].get_ylabel(), figure.axes[MAX_COLUMNS].get_ylabel()] == ["cat", "dog"]


def test_a_figure_is_drawn_at_300_dots_per_inch(generated: GeneratedImage) -> None:
    figure = overview_figure(generated, "text")
    with Image.open(io.BytesIO(encode_figure(figure, "png"))) as drawn:
        assert drawn.width == pytest.approx(figure.get_figwidth() * 300, abs=2)
    assert encode_figure(figure, "pdf").startswith(b"%PDF")
