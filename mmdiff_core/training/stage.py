"""The interface between a stage and the training loop, and the settings of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image
from torch import nn


@dataclass(frozen=True)
class StageSettings:
    """How one stage is optimised.

    ``crop`` trains on square crops of that side; 0 takes whole images. ``time_budget`` ends the stage after that many
    minutes at the latest, with the learning rate decayed to zero by then; 0 takes all the steps.

    The learning rate stays constant after the warm-up and falls linearly to zero in the last ``cool_down`` steps, so
    that a run may be continued at will; with ``cool_down`` 0 it follows a cosine over the whole stage.
    """

    steps: int
    batch: int
    lr: float
    muon_lr: float = 0.0  # of Muon, which then takes the hidden layers' matrices; 0: AdamW for everything
    warmup: int = 200
    cool_down: int = 0
    weight_decay: float = 0.0
    ema: float = 0.999
    crop: int = 0
    max_grad_norm: float = 1.0
    time_budget: float = 0.0


class Stage(Protocol):
    """Everything that the training loop needs of a stage."""

    name: str
    settings: StageSettings

    @property
    def network(self) -> nn.Module:
        """Return a module that maps a batch to its weighted loss terms by name."""
        ...

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that learn."""
        ...

    def batch(self) -> Any:
        """Return the next batch."""
        ...

    def sheet(self) -> Image.Image:
        """Draw a sample sheet with the current weights."""
        ...

    def finish(self) -> Mapping[str, float]:
        """Store the current weights; return what was measured."""
        ...


@runtime_checkable
class Seekable(Protocol):
    """A stage that samples other batches after a resume than before it."""

    def seek(self, step: int) -> None:
        """Make the next batch the first one of that step."""
        ...


@runtime_checkable
class HasHiddenWeights(Protocol):
    """A stage some of whose weights suit Muon."""

    def hidden_weights(self) -> Sequence[nn.Parameter]:
        """Return the weights of hidden linear layers and convolutions among those that learn."""
        ...


@runtime_checkable
class ExactlyResumable(Seekable, Protocol):
    """A stage whose batches follow from the number of the step, with held-out examples; it resumes bit for bit."""

    def validate(self, rank: int, world_size: int) -> tuple[float, int]:
        """Return the summed loss of this process's share of the held-out examples, and their number."""
        ...

    def checkpoint(self) -> None:
        """Write the current weights."""
        ...


@dataclass(frozen=True)
class TrainerOptions:
    """Options of the training loop that are not settings of a stage."""

    precision: str = "auto"  # no, bf16 or fp16; auto measures which one is faster
    half_weights: bool = False  # with bf16: weights in bf16 with float32 masters, not autocast; the stage casts inputs
    accumulate: int = 1  # batches per step
    eight_bit: bool = False  # the optimizer's state
    log_every: int = 0  # steps between two logs of the mean over all processes; 0: main process alone, every 2 seconds
    validate_every: int = 0  # steps; 0: never
    tensorboard: bool = False
