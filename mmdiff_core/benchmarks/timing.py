"""Timing on a machine that is not quiet: contestants in turn, and medians of the ratios within a round."""

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
    """Something to time: ``prepare`` puts things in place and does not count, ``step`` does."""

    prepare: Callable[[], None]
    step: Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """A median ratio with its 95 % interval."""

    median: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


def timed(step: Callable[[], object], device: torch.device, clock: Clock = "wall") -> float:
    """Seconds that one call takes, all work on a GPU included.

    ``cpu`` counts the processor time of this process, for machines that others use at the same time.
    """
    now = time.perf_counter if clock == "wall" else time.process_time
    _finish(device)
    start = now()
    step()
    _finish(device)
    return now() - start


def alternate(
    contestants: Mapping[str, Method], rounds: int, device: torch.device, clock: Clock = "wall"
) -> dict[str, list[float]]:
    """Seconds of every contestant in every round, after a round that warms up and does not count.

    Each round begins with another one, so that none always follows the same.
    """
    names = list(contestants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            contestants[name].prepare()
            seconds = timed(contestants[name].step, device, clock)
            if number:
                samples[name].append(seconds)
    return samples


def ratio(samples: Sequence[float], base: Sequence[float], seed: int = 0) -> Ratio:
    """The median over rounds of ``samples / base``, with a percentile bootstrap over the rounds."""
    ratios = np.asarray(samples) / np.asarray(base)
    draws = np.random.default_rng(seed).integers(len(ratios), size=(RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(ratios[draws], axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
