"""The options of a toybox run, and its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accelerate import PartialState


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are not part of its recipe."""

    folder: Path
    stages: tuple[str, ...]
    device: str = "cpu"
    init_from: Path | None = None  # a model folder to start from, such as the shipped weights
    minutes: float | None = None  # save and stop each stage after that much time
    seed: int = 0  # of the order of the samples
    workers: int = 1  # processes that render scenes
    dataset: Path | None = None  # of another run


def sample_seed(options: RunOptions) -> int:
    """Return a seed for each process, so that together they see different samples."""
    return options.seed + 1000 * processes(options).process_index


def processes(options: RunOptions) -> PartialState:
    """Return the state of the processes that torchrun started, or of this one alone."""
    return PartialState(cpu=options.device == "cpu")
