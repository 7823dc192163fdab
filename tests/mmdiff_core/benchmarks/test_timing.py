"""Ratios on a noisy machine: who is timed when, and what is told of it."""

from __future__ import annotations

import time

import pytest
import torch

from mmdiff_core.benchmarks.timing import Method, alternate, ratio, timed

CPU = torch.device("cpu")


def test_methods_take_turns_and_each_begins_once() -> None:
    said: list[str] = []
    methods = {
        name: Method(lambda name=name: said.append(f"prepare {name}"), lambda name=name: said.append(name))
        for name in ("a", "b", "c")
    }
    samples = alternate(methods, 3, CPU)
    steps = [word for word in said if not word.startswith("prepare")]
    assert steps == ["a", "b", "c", "b", "c", "a", "c", "a", "b", "a", "b", "c"]  # the first three warm up
    assert said[:4] == ["prepare a", "a", "prepare b", "b"]
    assert {name: len(seconds) for name, seconds in samples.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_ratio_is_taken_within_its_round() -> None:
    """Rounds in which the machine is ten times as slow change nothing."""
    base = [1.0, 10.0, 1.0, 10.0, 1.0]
    found = ratio([1.5 * seconds for seconds in base], base)
    assert found.median == found.low == found.high == pytest.approx(1.5)
    noisy = ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert noisy.low < noisy.median == 3 < noisy.high
    assert noisy == ratio([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)  # the same again


def test_the_two_clocks() -> None:
    """Waiting counts on the wall, and is not this process's work."""
    assert timed(lambda: time.sleep(0.05), CPU, "wall") >= 0.05
    assert timed(lambda: time.sleep(0.05), CPU, "cpu") < 0.05
