"""Checks of painted backgrounds that hold for all of them."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.toyworld.scenes.canvas import Canvas

Painter = Callable[[Canvas, random.Random], None]


def painting(painter: Painter, height: int = 32, width: int = 32, seed: int = 0) -> Tensor:
    """Paint a background, (3, H, W)."""
    canvas = Canvas(height, width, "cpu")
    painter(canvas, random.Random(seed))
    return canvas.image


def check_painter(painter: Painter) -> None:
    """Check that a painter fills its canvas, scales with it, and shows more of the same on a wide one."""
    for seed in range(4):
        small, large = painting(painter, seed=seed), painting(painter, 64, 64, seed)
        assert not (small == 0).all(0).any(), "a part of the canvas is unpainted"
        assert float((F.avg_pool2d(large, 2) - small).abs().mean()) < 0.03
        wide = painting(painter, 32, 64, seed)
        torch.testing.assert_close(wide[:, :, 16:48], small, atol=0.02, rtol=0)
        assert float((small[:, :16] - small[:, 16:].flip(1)).abs().mean()) > 0.05  # sky is not ground
