"""Backgrounds: all different, a function of their seed, each with a light of its own."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.toyworld import BACKGROUND_NAMES, render
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUNDS, paint_background
from tests.helpers.toy_scenes import empty


def test_images_are_in_range_and_backgrounds_differ() -> None:
    images = render([empty(background) for background in BACKGROUND_NAMES], 32).images
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    for i, first in enumerate(BACKGROUND_NAMES):
        for j, second in enumerate(BACKGROUND_NAMES[:i]):
            assert float((images[i] - images[j]).abs().mean()) > 0.05, (first, second)


@pytest.mark.parametrize("background", BACKGROUND_NAMES)
def test_a_background_is_a_function_of_its_seed(background: str) -> None:
    first, again, other = (paint_background(background, seed, 32, 32, "cpu") for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("background", BACKGROUND_NAMES)
def test_light_comes_from_the_left_or_from_the_right(background: str) -> None:
    lights = [BACKGROUNDS[background].light(seed) for seed in range(20)]
    assert {light.direction[0] > 0 for light in lights} == {True, False}
    assert all(light.direction[1] > 0 for light in lights)  # from above
    assert BACKGROUNDS[background].light(3) == BACKGROUNDS[background].light(3)
    assert all(0 < light.shadow < 1 and light.sky == BACKGROUNDS[background].lamp.sky for light in lights)
