"""What fits is kept whole; else it is halved, steps and the finest layers in turn."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.inspection.memory_budget import Reduction, fit_budget, read_bytes

LAYERS = [((64, 64), 10), ((32, 32), 10), ((63, 47), 10)]
WHOLE = 2 * 30 * 10 * (64 * 64 + 32 * 32 + 63 * 47)


def _needed(reduction: Reduction, steps: int = 30) -> int:
    kept = sum(map(reduction.keeps, range(steps)))
    sizes = [reduction.size_of(size) for size, _ in LAYERS]
    return 2 * kept * sum(h * w * 10 for h, w in sizes)


def test_what_fits_is_kept_whole() -> None:
    reduction = fit_budget(LAYERS, 30, WHOLE)
    assert _needed(reduction) == WHOLE
    assert reduction.describe([size for size, _ in LAYERS], 30) == ""


@pytest.mark.parametrize("part", [1.01, 2, 3, 5, 10, 30, 80])
def test_the_budget_is_held(part: float) -> None:
    reduction = fit_budget(LAYERS, 30, int(WHOLE / part))
    assert WHOLE / part / 8 < _needed(reduction) <= WHOLE / part
    assert reduction.describe([size for size, _ in LAYERS], 30).startswith("To stay within the memory budget, ")


def test_steps_are_halved_first_then_the_finest_layers() -> None:
    assert fit_budget(LAYERS, 30, WHOLE // 2).stride == 2
    second = fit_budget(LAYERS, 30, WHOLE // 4)
    assert second.stride == 2
    assert [second.size_of(size) for size, _ in LAYERS] == [(32, 32), (32, 32), (31, 23)]
    assert second.describe([size for size, _ in LAYERS], 30) == (
        "To stay within the memory budget, 15 of 30 steps were kept, every second, and layers of 64 x 64 are kept at "
        "32 x 32, and layers of 63 x 47 are kept at 31 x 23."
    )


def test_too_little_is_said() -> None:
    with pytest.raises(SettingsError, match=r"budget of 0\.01 MB is too small: one step in the smallest size takes"):
        fit_budget(LAYERS, 30, 10_000)


def test_shrinking_keeps_the_mean() -> None:
    maps = torch.rand(2, 3, 8, 8)
    small = Reduction(most=16).shrink(maps)
    assert small.shape == (2, 3, 4, 4)
    assert torch.allclose(small.mean((-2, -1)), maps.mean((-2, -1)))
    assert Reduction().shrink(maps) is maps


@pytest.mark.parametrize(
    ("text", "number"), [("200MB", 200_000_000), ("1.5 gb", 1_500_000_000), ("2KiB", 2048), (77, 77), ("77", 77)]
)
def test_sizes_as_people_write_them(text: str | int, number: int) -> None:
    assert read_bytes(text) == number


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "0", "lots", "3TB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="write it as 200MB"):
        read_bytes(text)
