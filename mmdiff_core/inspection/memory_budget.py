"""How much memory maps may take: what is kept of them is halved until it fits, and said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import torch.nn.functional as F
from torch import Tensor

from mmdiff_core.errors import SettingsError

DEFAULT_BUDGET = "200MB"
LEAST_PIXELS = 16 * 16  # of a layer; below it a map tells nothing any more
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B|)\s*", re.IGNORECASE)
Size = tuple[int, int]


@dataclass(frozen=True)
class Reduction:
    """What is kept of the maps of a run: every ``stride``-th step, and layers of at most ``most`` pixels."""

    stride: int = 1
    most: int | None = None

    def keeps(self, step: int) -> bool:
        """Whether a step, counted from 0, is kept."""
        return step % self.stride == 0

    def size_of(self, size: Size) -> Size:
        """Return the size (h, w) in which a layer is kept."""
        while self.most is not None and size[0] * size[1] > self.most:
            size = (max(1, size[0] // 2), max(1, size[1] // 2))
        return size

    def shrink(self, maps: Tensor) -> Tensor:
        """Return maps (..., h, w) in the size in which they are kept: the mean of the pixels that become one."""
        size = (maps.shape[-2], maps.shape[-1])
        small = self.size_of(size)
        if small == size:
            return maps
        return F.adaptive_avg_pool2d(maps.flatten(0, -3), small).view(*maps.shape[:-2], *small)

    def describe(self, sizes: Sequence[Size], steps: int) -> str:
        """Return what was dropped, in a sentence; empty if nothing was.

        Args:
            sizes: of the layers, in full.
            steps: of the run.
        """
        said = []
        if self.stride > 1:
            said.append(f"{len(range(0, steps, self.stride))} of {steps} steps were kept, every {_nth(self.stride)}")
        smaller = dict.fromkeys(size for size in sizes if self.size_of(size) != size)
        said += [f"layers of {_sides(size)} are kept at {_sides(self.size_of(size))}" for size in smaller]
        return f"To stay within the memory budget, {', and '.join(said)}." if said else ""


def fit_budget(layers: Sequence[tuple[Size, int]], steps: int, budget: int) -> Reduction:
    """Return what to keep so that the maps of a run take no more than ``budget`` bytes.

    Half of the steps are dropped first, then the finest layers are halved, in turn.

    Args:
        layers: the size (h, w) of each layer, and the values of one step in it per pixel: images x rows x heads.
        steps: of the run.
        budget: bytes; a value takes two.

    Raises:
        SettingsError: one step takes more in the smallest size, ``LEAST_PIXELS``.
    """
    pixels = [_pixels(size) for size, _ in layers]
    least = min(LEAST_PIXELS, *pixels)
    for halvings in count():
        reduction = Reduction(2 ** ((halvings + 1) // 2), max(max(pixels) // 4 ** (halvings // 2), least))
        needed = bytes_kept(layers, steps, reduction)
        if needed <= budget:
            return reduction
        if reduction.stride >= steps and reduction.most == least:
            break
    raise SettingsError(
        f"The memory budget of {megabytes(budget)} is too small: one step in the smallest size takes "
        f"{megabytes(needed)}. Raise it, or record fewer words, layers or images."
    )


def read_bytes(budget: str | int) -> int:
    """Return a number of bytes, or a text such as ``200MB``, as bytes.

    Raises:
        SettingsError: it is neither, or not above zero.
    """
    match = _BYTES.fullmatch(str(budget))
    number = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if number <= 0:
        raise SettingsError(f'The memory budget "{budget}" cannot be read: write it as 200MB or 1.5GB.')
    return number


def bytes_kept(layers: Sequence[tuple[Size, int]], steps: int, reduction: Reduction) -> int:
    """Return the bytes that the maps of a run take; args as :func:`fit_budget`."""
    kept = len(range(0, steps, reduction.stride))
    return 2 * kept * sum(_pixels(reduction.size_of(size)) * values for size, values in layers)


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def _sides(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _nth(number: int) -> str:
    return {2: "second"}.get(number, f"{number}th")


def megabytes(number: int) -> str:
    """Return a number of bytes as people read it."""
    return f"{number / 10**6:.3g} MB"
