"""What the training loop needs of a stage, and what it may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image
from torch import nn


@dataclass(frozen=True)
class StageSettings:
    """How one stage is optimised. ``crop`` trains on square crops of that side; 0 takes whole pictures.

    ``within`` finishes the stage in so many minutes at the latest, its rate run down by then; 0 takes all the steps.
    """

    steps: int
    batch: int
    rate: float
    warmup: int = 200
    decay: float = 0.0
    ema: float = 0.999
    crop: int = 0
    clip: float = 1.0
    within: float = 0.0


class Stage(Protocol):
    """What the loop needs of a stage."""

    name: str
    settings: StageSettings

    @property
    def network(self) -> nn.Module:
        """Called with a batch, returns the weighted loss terms by name."""
        ...

    def trained(self) -> list[nn.Parameter]: ...
    def batch(self) -> Any: ...
    def sheet(self) -> Image.Image: ...
    def finish(self) -> Mapping[str, float]: ...


@runtime_checkable
class Seekable(Protocol):
    """A stage that draws other batches after it was resumed than before."""

    def seek(self, step: int) -> None:
        """The next batch is the first of that step."""
        ...


@runtime_checkable
class Exact(Seekable, Protocol):
    """A stage whose batches follow the number of the step, with examples held out; it resumes to the bit."""

    def validate(self, rank: int, world: int) -> tuple[float, int]:
        """The sum of the losses of this process's share of the held-out examples, and how many they are."""
        ...

    def checkpoint(self) -> None:
        """Write the weights as they are."""
        ...


@dataclass(frozen=True)
class LoopOptions:
    """What a run may ask of the loop beside the stage's own settings."""

    precision: str = "auto"  # no, bf16 or fp16; auto measures which is the faster
    accumulate: int = 1  # batches per step
    eight_bit: bool = False
    log_every: int = 0  # steps, as the mean over all processes; 0: every two seconds, of the main process alone
    validate_every: int = 0  # steps; 0: never
    board: bool = False  # log to TensorBoard, too
