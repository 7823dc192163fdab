"""Where each pixel of a layer looks in the image itself: one layer in one step, since it is large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from mmdiff_core.errors import SettingsError


@dataclass(frozen=True)
class SelfAttention:
    """The self-attention of one layer in one step, the mean over its heads.

    Attributes:
        layer: its path in the UNet.
        step: counted from 0.
        size: (h, w) of the layer.
        weights: (h * w, h * w) float16: row by row, how much a pixel attends to every other; a row sums to 1.
    """

    layer: str
    step: int
    size: tuple[int, int]
    weights: Tensor = field(repr=False)

    def looks_from(self, x: float, y: float) -> np.ndarray:
        """Return where a pixel looks, (h, w) float32, which sums to 1.

        Args:
            x, y: in fractions of the image's width and height, from the left and from the top.

        Raises:
            SettingsError: the point is outside of the image.
        """
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise SettingsError(f"The point ({x:g}, {y:g}) is outside of the image: give fractions from 0 to 1.")
        height, width = self.size
        row, column = min(int(y * height), height - 1), min(int(x * width), width - 1)
        found: np.ndarray = self.weights[row * width + column].float().view(height, width).numpy()
        return found

    @property
    def nbytes(self) -> int:
        """Return the memory that it takes, in bytes."""
        return self.weights.nbytes


def self_attention_bytes(size: tuple[int, int]) -> int:
    """Return the memory that the self-attention of a layer of (h, w) takes for one image."""
    return 2 * (size[0] * size[1]) ** 2


def check_self_attention(wanted: tuple[str, int] | None, known: Sequence[str]) -> None:
    """Check that there is such a self-attention layer.

    Args:
        wanted: layer and step.
        known: the paths of the self-attention layers.

    Raises:
        SettingsError: there is none.
    """
    if wanted is not None and wanted[0] not in known:
        raise SettingsError(f'There is no self-attention layer "{wanted[0]}": there are {", ".join(known)}.')
