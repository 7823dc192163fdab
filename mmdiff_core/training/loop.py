"""The one training loop: any stage, resumable, on accelerate.

A run survives Ctrl-C and a kill: the state is written aside and renamed every ``save_every_s`` seconds and when the
stage ends, and the next start continues at that step.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.recipes import StageSettings

logger = logging.getLogger(__name__)


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


class Trainer:
    """Trains one stage in a run folder: ``state.pt``, ``log.jsonl``, ``sheets/``.

    Args:
        stage: networks, batches and losses.
        folder: where the stage leaves its traces; an earlier state there is continued.
        device: ``cpu`` or ``cuda``.
        save_every_s: how much work a kill may cost, in seconds.
        sheet_every: steps between two sample sheets.
        minutes: stop, saved, after that much time; None: at the stage's last step.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        device: str = "cpu",
        save_every_s: float = 60.0,
        sheet_every: int = 1000,
        minutes: float | None = None,
    ) -> None:
        self.stage, self.folder = stage, folder
        self.save_every_s, self.sheet_every = save_every_s, sheet_every
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        (folder / "sheets").mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision(device))
        settings = stage.settings
        self.parameters = stage.trained()
        optimizer = torch.optim.AdamW(
            self.parameters, settings.rate, betas=(0.9, 0.99), weight_decay=settings.decay, fused=True
        )
        # Not prepared: accelerate would step it once per process, while our steps count batches.
        self.schedule = get_cosine_schedule_with_warmup(optimizer, settings.warmup, settings.steps)
        self.network, self.optimizer = self.accelerator.prepare(stage.network, optimizer)
        self.ema = EMAModel(self.parameters, decay=settings.ema, use_ema_warmup=True, power=3 / 4, foreach=True)
        self.step = self._resume()

    def run(self) -> bool:
        """Train to the stage's last step; True when it was reached, False when interrupted (and saved)."""
        set_seed(self.step, device_specific=True)
        bar = tqdm(
            total=self.stage.settings.steps,
            initial=self.step,
            desc=self.stage.name,
            unit="step",
            dynamic_ncols=True,
            disable=not self.accelerator.is_main_process,
        )
        saved = logged = time.monotonic()
        batches_s = 0.0
        with interrupts() as interrupted, _attention_kernels(self.accelerator.device), bar:
            while self.step < self.stage.settings.steps and not self._any(interrupted() or self._late()):
                started = time.monotonic()
                batch = self.stage.batch()
                batches_s += time.monotonic() - started
                terms = self._train(batch)
                bar.update()
                if time.monotonic() - logged > 2.0 or self.step == self.stage.settings.steps:
                    bar.set_postfix({name: f"{value:.4f}" for name, value in self._log(terms, batches_s).items()})
                    logged = time.monotonic()
                if self.step % self.sheet_every == 0:
                    self._sheet()
                if time.monotonic() - saved > self.save_every_s:
                    self._save()
                    saved = time.monotonic()
        self._save()
        done = self.step >= self.stage.settings.steps
        logger.info("%s %s at step %d", self.stage.name, "finished" if done else "interrupted, saved", self.step)
        return done

    def finish(self) -> Mapping[str, float]:
        """Put the averaged weights in place and let the stage measure and store them."""
        self.ema.copy_to(self.parameters)
        return self.stage.finish()

    def _train(self, batch: Any) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = self.network(batch)
        loss = torch.stack(list(terms.values())).sum()
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.stage.settings.clip)
        if norm is not None and not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient of stage {self.stage.name} is {norm} at step {self.step}")
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.ema.step(self.parameters)
        self.step += 1
        return {"loss": loss.detach(), **{name: value.detach() for name, value in terms.items()}}

    def _log(self, terms: Mapping[str, Tensor], batches_s: float) -> dict[str, float]:
        values = {name: float(value) for name, value in terms.items()}
        line = {"step": self.step, "time": time.time(), "batches_s": round(batches_s, 2), **values}
        if self.accelerator.is_main_process:
            with (self.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        return values

    def _sheet(self) -> None:
        """A picture of what the averaged weights can do now."""
        if not self.accelerator.is_main_process:
            return
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        try:
            self.stage.sheet().save(self.folder / "sheets" / f"{self.step:07d}.png")
        finally:
            self.ema.restore(self.parameters)

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _any(self, stop: bool) -> bool:
        """Whether any process wants to stop: they must leave the loop together."""
        if self.accelerator.num_processes == 1:
            return stop
        votes = self.accelerator.reduce(torch.tensor(float(stop), device=self.accelerator.device), "sum")
        return bool(votes > 0)

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "parameters": [parameter.detach() for parameter in self.parameters],
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        aside = self.folder / "state.tmp"
        torch.save(state, aside)
        os.replace(aside, self.folder / "state.pt")

    def _resume(self) -> int:
        path = self.folder / "state.pt"
        if not path.exists():
            return 0
        state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        return int(state["step"])


@contextmanager
def interrupts() -> Iterator[Any]:
    """Ctrl-C and TERM ask the loop to stop after the step at hand; a second Ctrl-C stops at once."""
    caught: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _attention_kernels(device: torch.device) -> Any:
    """On CPUs the fused attention's backward is several times slower than plain matrix products at our sizes."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
