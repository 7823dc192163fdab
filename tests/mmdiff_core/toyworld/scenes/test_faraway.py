"""City, space and sea: painted whole at every size, dark above or blue throughout."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.toyworld.scenes import faraway
from tests.helpers.painted import check_painter, painting


@pytest.mark.parametrize("name", ["city", "space", "under_water"])
def test_a_background_fills_every_canvas(name: str) -> None:
    check_painter(getattr(faraway, name))


def test_a_city_at_night_has_lit_windows() -> None:
    """Some pixels of the houses are far brighter than most."""
    houses = painting(faraway.city, 96, 96)[:, 20:44].mean(0)
    assert float(houses.median()) < 0.3
    assert float(houses.quantile(0.97)) > 0.6


def test_space_is_dark_above_the_grey_moon() -> None:
    image = painting(faraway.space, 64, 64)
    assert float(image[:, :8].median()) < 0.2
    ground = image[:, -12:].mean((1, 2))
    assert float(ground.min()) > 0.4
    assert float(ground.max() - ground.min()) < 0.12


def test_water_is_blue_and_darkens_with_depth() -> None:
    image = torch.stack([painting(faraway.under_water, seed=seed) for seed in range(4)]).mean(0)
    assert (image[2] > image[0]).float().mean() > 0.9
    assert float(image[:, :3].mean()) > float(image[:, 14:17].mean())
