"""The progress of a run as the browser reads it."""

from __future__ import annotations

import pytest

from demo.viewer import frames
from demo.viewer.frames import progress_record


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of ``time.monotonic``."""
    now = [100.0]
    monkeypatch.setattr(frames.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_follows_from_what_is_done(clock: list[float]) -> None:
    clock[0] = 110.0
    record = progress_record(2, 3, step=5, steps=20, done=0.25, started=100.0)
    assert (record["picture"], record["pictures"], record["step"], record["steps"]) == (2, 3, 5, 20)
    assert (record["left"], record["done"]) == ("30 s", 0.25)


@pytest.mark.parametrize(("elapsed", "left"), [(0.0, "1 s"), (80.0, "80 s"), (300.0, "5 min")])
def test_long_times_are_told_in_minutes_and_none_is_less_than_a_second(
    clock: list[float], elapsed: float, left: str
) -> None:
    clock[0] += elapsed
    assert progress_record(1, 1, 1, 2, done=0.5, started=100.0)["left"] == left


def test_nothing_is_left_at_the_end(clock: list[float]) -> None:
    clock[0] += 10
    assert progress_record(1, 1, 20, 20, done=1.0, started=100.0)["left"] == "1 s"
