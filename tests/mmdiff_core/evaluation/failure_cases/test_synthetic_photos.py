"""Synthetic photos: far from renders, and still of the toy."""

from __future__ import annotations

import random

import pytest
import torch

from mmdiff_core.evaluation.failure_cases.synthetic_photos import clutter, drawn_cat, drawn_mushroom, photographed
from mmdiff_core.toyworld import HELD_OUT, make_toy, reference_scene, render


def test_photographed_toys_are_far_from_renders_and_still_recognisable() -> None:
    rng = random.Random(1)
    toy = make_toy("cat", HELD_OUT)
    rendered = render([reference_scene(rng, toy) for _ in range(2)], 64)
    photos = photographed(random.Random(0), rendered)
    assert photos.shape == rendered.images.shape
    assert torch.equal(photos, photographed(random.Random(0), rendered))
    inside = rendered.masks[:, :1].expand_as(photos)
    error = (photos - rendered.images).abs()
    assert error[~inside].mean() > 1.5 * error[inside].mean() > 0.05


def test_drawings_have_dark_ink_on_light_paper() -> None:
    for drawing in (drawn_cat((32, 32)), drawn_mushroom((48, 32), 12.0)):
        assert 0 <= float(drawing.min()) < 0.5 < float(drawing.max()) <= 1
    assert drawn_mushroom((48, 32)).shape == (3, 32, 48)


def test_a_turned_drawing_is_another_view() -> None:
    straight, turned = drawn_cat((48, 48)), drawn_cat((48, 48), 20.0)
    assert float((straight - turned).abs().mean()) > 0.02
    assert turned[:, 0, 0].tolist() == pytest.approx([247 / 255, 243 / 255, 232 / 255], abs=0.02)  # paper


def test_a_cat_is_symmetrical_but_for_its_tail() -> None:
    cat = drawn_cat((64, 64))
    asymmetry = (cat - cat.flip(2)).abs().mean((0, 2))
    assert float(asymmetry[:30].max()) < 0.03 < 0.05 < float(asymmetry[32:].max())


def test_a_mushroom_has_a_red_cap_on_a_pale_stem() -> None:
    mushroom = drawn_mushroom((64, 64))
    cap, stem = mushroom[:, 24, 14], mushroom[:, 48, 32]
    assert cap.argmax() == 0
    assert float(cap[0]) > 2 * float(cap[1])
    assert float(stem.min()) > 0.8


def test_clutter_has_the_spectrum_of_natural_images() -> None:
    """Power falls with the square of the frequency: about a fourth per octave."""
    power = torch.fft.rfft2(clutter(random.Random(0), 128, 128).mean(0)).abs().square()
    low, high = power[0, 4:8].mean() + power[4:8, 0].mean(), power[0, 16:32].mean() + power[16:32, 0].mean()
    assert 4 < low / high < 64
