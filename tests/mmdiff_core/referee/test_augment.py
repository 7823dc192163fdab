"""Augmentation: what moves together, what stays recognisable, and what does not."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from mmdiff_core.referee.augment import blurred, crop, degrade, jpeg, spoil
from mmdiff_core.toyworld import render
from tests.helpers.toy_scenes import scenes


@pytest.fixture(scope="module")
def image() -> Tensor:
    return render(scenes(1, seed=3), 96).images[0]


def test_crop_moves_image_and_masks_alike() -> None:
    """A white square on black is where its mask is, mirrored or not."""
    images, slots = torch.zeros(4, 3, 32, 32), torch.zeros(4, 32, 32, dtype=torch.uint8)
    images[:, :, 4:16, 6:14], slots[:, 4:16, 6:14] = 1.0, 1
    for mirror in (False, True):
        moved, labels = crop(random.Random(1), images, slots, mirror)
        assert float(((moved[:, 0] > 0.5) == (labels == 1)).float().mean()) > 0.98
        middle = (labels == 1).nonzero()[:, 2].float().mean()
        assert (middle > 16) == mirror
        assert not torch.equal(moved[0], moved[1])  # each image has its own crop


def test_degraded_images_stay_nearer_than_spoiled_ones(image: Tensor) -> None:
    rng = random.Random(0)
    slight = max(float((degrade(rng, image) - image).abs().mean()) for _ in range(8))
    heavy = min(float((spoil(rng, image) - image).abs().mean()) for _ in range(8))
    assert slight < heavy
    for changed in (degrade(rng, image), spoil(rng, image)):
        assert changed.shape == image.shape
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1.05  # bicubic squares may overshoot a little


def test_degrading_is_a_function_of_the_random_numbers(image: Tensor) -> None:
    assert torch.equal(degrade(random.Random(5), image), degrade(random.Random(5), image))
    assert any(not torch.equal(degrade(random.Random(k), image), image) for k in range(4))


def test_spoiling_keeps_the_colours(image: Tensor) -> None:
    for seed in range(6):
        torch.testing.assert_close(
            spoil(random.Random(seed), image).mean((1, 2)), image.mean((1, 2)), atol=0.06, rtol=0
        )


def test_blur_is_a_gaussian_that_keeps_the_sum() -> None:
    point = torch.zeros(3, 33, 33)
    point[:, 16, 16] = 1.0
    spot = blurred(point, 2.0)[0]
    assert float(spot.sum()) == pytest.approx(1.0, abs=1e-4)
    offsets = torch.arange(33) - 16
    assert float((spot.sum(0) * offsets**2).sum()) == pytest.approx(4.0, rel=0.02)  # the variance


def test_jpeg_is_worse_at_a_lower_quality(image: Tensor) -> None:
    fine, coarse = (float((jpeg(image, quality) - image).abs().mean()) for quality in (92, 10))
    assert 0 < fine < coarse / 2
