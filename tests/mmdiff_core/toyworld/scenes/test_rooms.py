"""Rooms: painted whole at every size, with furniture that varies from one to the next."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld.scenes import rooms
from tests.helpers.painted import check_painter, painting


@pytest.mark.parametrize("name", ["bedroom", "kitchen", "stage"])
def test_a_room_fills_every_canvas(name: str) -> None:
    check_painter(getattr(rooms, name))


@pytest.mark.parametrize("name", ["bedroom", "kitchen", "stage"])
def test_walls_have_several_colours(name: str) -> None:
    walls = {tuple((painting(getattr(rooms, name), seed=k)[:, 10, 16] * 4).round().tolist()) for k in range(12)}
    assert len(walls) > 1


def test_a_stage_is_lit_in_the_middle() -> None:
    stage = sum(painting(rooms.stage, seed=seed).mean(0) for seed in range(4))
    floor = stage[24:30]
    assert float(floor[:, 12:20].mean()) > 1.15 * float(floor[:, [0, 1, 30, 31]].mean())
