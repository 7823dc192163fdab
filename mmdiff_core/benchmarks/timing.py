"""Timing on a busy machine: the methods take turns, and ratios are taken within a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

Clock = Literal["wall", "cpu"]
RESAMPLES = 2000


@dataclass(frozen=True)
class Method:
    """A method to time: ``prepare`` sets it up and is not timed, ``step`` is."""

    prepare: Callable[[], None]
    step: Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """A median ratio with its 95 % interval."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return it as plain JSON values."""
        return {"median": self.median, "low": self.low, "high": self.high}


def timed(step: Callable[[], object], device: torch.device, clock: Clock = "wall") -> float:
    """Return the seconds that one call takes, including its work on a GPU.

    The clock ``cpu`` counts the processor time of this process, for shared machines.
    """
    now = time.perf_counter if clock == "wall" else time.process_time
    _finish(device)
    start = now()
    step()
    _finish(device)
    return now() - start


def alternate(
    methods: Mapping[str, Method], rounds: int, device: torch.device, clock: Clock = "wall"
) -> dict[str, list[float]]:
    """Return the seconds of every method in every round, after a round of warm-up.

    Each round starts with another method, so that none always follows the same one.
    """
    names = list(methods)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            methods[name].prepare()
            seconds = timed(methods[name].step, device, clock)
            if number:
                samples[name].append(seconds)
    return samples


def ratio(samples: Sequence[float], base: Sequence[float], seed: int = 0) -> Ratio:
    """Return the median over rounds of ``samples / base``, with a percentile bootstrap over the rounds."""
    ratios = np.asarray(samples) / np.asarray(base)
    draws = np.random.default_rng(seed).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
