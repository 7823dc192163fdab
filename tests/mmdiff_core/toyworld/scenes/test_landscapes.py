"""Landscapes: painted whole at every size, each in its own light."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld.scenes import landscapes
from tests.helpers.painted import check_painter, painting

PAINTERS = ("beach", "snow", "forest", "desert", "meadow", "sunset", "volcano", "autumn")


@pytest.mark.parametrize("name", PAINTERS)
def test_a_landscape_fills_every_canvas(name: str) -> None:
    check_painter(getattr(landscapes, name))


def test_what_makes_the_landscapes() -> None:
    """Mean colours (red, green, blue) over some seeds."""
    mean = {
        name: sum(painting(getattr(landscapes, name), seed=seed).mean((1, 2)) for seed in range(4)) / 4
        for name in PAINTERS
    }
    brightness = {name: float(colour.mean()) for name, colour in mean.items()}
    assert max(brightness, key=brightness.__getitem__) == "snow"
    assert min(brightness, key=brightness.__getitem__) == "volcano"
    assert all(mean[name].argmax() == 1 for name in ("forest", "meadow"))  # green
    assert all(mean[name].argmax() == 0 for name in ("desert", "volcano", "autumn", "sunset"))  # red
    assert mean["beach"][2] > mean["desert"][2]
