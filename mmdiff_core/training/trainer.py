"""The one training loop: any stage, resumable, on accelerate.

A run survives Ctrl-C and a kill: the state is written aside and renamed every ``save_every_s`` seconds and when the
stage ends, and the next start continues at that step.
"""

from __future__ import annotations

import json
import logging
import math
import pickle
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from mmdiff_core.atomic_files import named_disk_faults, remove_leftovers, written_aside
from mmdiff_core.errors import TrainingError
from mmdiff_core.training.optimizer import make_optimizer
from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.stage import Exact, LoopOptions, Seekable, Stage
from mmdiff_core.training.tensorboard import Board

logger = logging.getLogger(__name__)

STATE = "state.pt"


class Trainer:
    """Trains one stage in a run folder: ``state.pt``, ``log.jsonl``, ``sheets/``, ``tensorboard/``.

    Args:
        stage: networks, batches and losses.
        folder: where the stage leaves its traces; an earlier state there is continued.
        device: ``cpu`` or ``cuda``.
        save_every_s: how much work a kill may cost, in seconds.
        sheet_every: steps between two sample sheets.
        minutes: stop, saved, after that much time; None: at the stage's last step.
        options: more of how to go about it.

    Raises:
        TrainingError: processes find states of different steps.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        device: str = "cpu",
        save_every_s: float = 60.0,
        sheet_every: int = 1000,
        minutes: float | None = None,
        options: LoopOptions | None = None,
    ) -> None:
        self.stage, self.folder, self.options = stage, folder, options or LoopOptions()
        self.began, self.share_before = time.monotonic(), 0.0
        self.save_every_s, self.sheet_every = save_every_s, sheet_every
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        (folder / "sheets").mkdir(parents=True, exist_ok=True)
        precision = mixed_precision(device) if self.options.precision == "auto" else self.options.precision
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=precision)
        torch.backends.cudnn.benchmark = True  # every batch has the same shapes
        settings = stage.settings
        self.parameters = stage.trained()
        optimizer = make_optimizer(self.parameters, settings, self.options.eight_bit)
        # Not prepared: accelerate would step it once per process, while our steps count batches.
        self.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        self.network, self.optimizer = self.accelerator.prepare(stage.network, optimizer)
        self.ema = EMAModel(self.parameters, decay=settings.ema, use_ema_warmup=True, power=3 / 4, foreach=True)
        self.norm = torch.zeros(())  # of the newest gradient
        self.step = self._resume()
        self._agree_on_step()
        writes = self.options.board and self.accelerator.is_main_process
        self.board = Board(folder / "tensorboard", self.step) if writes else None

    def run(self) -> bool:
        """Train to the stage's last step; True when it was reached, False when interrupted (and saved)."""
        set_seed(self.step, device_specific=True)
        if isinstance(self.stage, Seekable):
            self.stage.seek(self.step)
        bar = tqdm(
            total=self.stage.settings.steps,
            initial=self.step,
            desc=self.stage.name,
            unit="step",
            dynamic_ncols=True,
            disable=not self.accelerator.is_main_process,
        )
        began = saved = logged = time.monotonic()
        first, waited_s = self.step, 0.0
        batches = _batches(self.stage.batch, ahead=self.accelerator.device.type == "cuda")
        with interrupts() as interrupted, _attention_kernels(self.accelerator.device), bar, closing(batches):
            while not self._any(interrupted() or self._late() or self._share(self.step) >= 1):
                started = time.monotonic()
                parts = [next(batches) for _ in range(self.options.accumulate)]
                waited_s += time.monotonic() - started
                terms = self._train(parts)
                bar.update()
                if self._log_is_due(logged):
                    bar.set_postfix({name: f"{value:.4f}" for name, value in self._log(terms, waited_s).items()})
                    logged = time.monotonic()
                if self.options.validate_every and self.step % self.options.validate_every == 0:
                    self._validate()
                if self.step % self.sheet_every == 0:
                    self._sheet()
                if time.monotonic() - saved > self.save_every_s:
                    self._save()
                    saved = time.monotonic()
        self._save()
        if self.board is not None:
            self.board.close()
        done = self._any(self._share(self.step) >= 1)
        if done and self.step % self.sheet_every:
            self._sheet()
        logger.info("%s %s at step %d", self.stage.name, "finished" if done else "interrupted, saved", self.step)
        self._tell_speed(self.step - first, time.monotonic() - began, waited_s)
        return done

    def _tell_speed(self, steps: int, seconds: float, waited_s: float) -> None:
        """Samples a second of all processes, sheets and saving included, and what waiting for batches cost."""
        batch = self.stage.settings.batch * self.options.accumulate * self.accelerator.num_processes
        samples = steps * batch
        speed, waiting = samples / max(seconds, 1e-9), 100 * waited_s / max(seconds, 1e-9)
        logger.info(
            "%s: %d samples in %.0f s, %.1f a second; %.0f %% of the time went into batches",
            self.stage.name, samples, seconds, speed, waiting,
        )  # fmt: skip

    def finish(self) -> Mapping[str, float]:
        """Put the averaged weights in place and let the stage measure and store them."""
        self.ema.copy_to(self.parameters)
        return self.stage.finish()

    def _train(self, parts: Sequence[Any]) -> dict[str, Tensor]:
        """One step, whose gradient is the mean over the parts of its batch and over the processes."""
        told: list[dict[str, Tensor]] = []
        for index, batch in enumerate(parts):
            last = index == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                terms: dict[str, Tensor] = self.network(batch)
                self.accelerator.backward(torch.stack(list(terms.values())).sum() / len(parts))
            told.append({name: value.detach() for name, value in terms.items()})
        norm = self.accelerator.clip_grad_norm_(self.parameters, self.stage.settings.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.ema.step(self.parameters)
        self.step += 1
        means = {name: torch.stack([terms[name] for terms in told]).mean() for name in told[0]}
        loss = torch.stack(list(means.values())).sum()
        # Scaled half precision overflows now and then and skips that step by itself; its loss tells when it is serious.
        self.norm = loss if norm is None or self.accelerator.scaler is not None else norm
        return {"loss": loss, **means}

    def _check_finite(self) -> None:
        """Before anything is told or kept, and not at every step: reading the number waits for the GPU."""
        if not torch.isfinite(self.norm):
            raise TrainingError(
                f"The gradient of stage {self.stage.name} is {float(self.norm)} at step {self.step}, so nothing more "
                "is saved: the same command goes on from the last state; a lower learning rate keeps it away."
            )

    def _log_is_due(self, logged: float) -> bool:
        """Whether to tell the losses. By steps, where all processes must agree, or by the clock."""
        if self._share(self.step) >= 1:
            return True
        if self.options.log_every:
            return self.step % self.options.log_every == 0
        return time.monotonic() - logged > 2.0

    def _log(self, terms: Mapping[str, Tensor], waited_s: float) -> dict[str, float]:
        self._check_finite()
        means = self.accelerator.reduce(dict(terms), "mean") if self.options.log_every else terms
        values = {name: float(value) for name, value in means.items()}
        self._tell({"batches_s": round(waited_s, 2), **values}, values)
        return values

    def _tell(self, line: Mapping[str, float], shown: Mapping[str, float]) -> None:
        """A line of the log, and the same on the board."""
        if self.accelerator.is_main_process:
            path = self.folder / "log.jsonl"
            with named_disk_faults(path), path.open("a") as log:
                log.write(json.dumps({"step": self.step, "time": time.time(), **line}) + "\n")
        if self.board is not None:
            self.board.numbers(self.step, {**shown, "rate": float(self.schedule.get_last_lr()[0])})

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The averaged weights in the place of the newest."""
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        try:
            yield
        finally:
            self.ema.restore(self.parameters)

    def _validate(self) -> None:
        """The loss of the averaged weights on held-out examples, each process its share; and the weights kept."""
        if not isinstance(self.stage, Exact):
            return
        process = self.accelerator
        with self._averaged():
            total, count = self.stage.validate(process.process_index, process.num_processes)
            if process.is_main_process:
                self.stage.checkpoint()
        sums = process.reduce(torch.tensor([total, float(count)], device=process.device), "sum")
        if sums[1] > 0:
            values = {"validation": float(sums[0] / sums[1])}
            self._tell(values, values)

    def _sheet(self) -> None:
        """A picture of what the averaged weights can do now."""
        self._check_finite()
        if not self.accelerator.is_main_process:
            return
        with self._averaged():
            sheet = self.stage.sheet()
        with written_aside(self.folder / "sheets" / f"{self.step:07d}.png") as aside:
            sheet.save(aside)
        if self.board is not None:
            self.board.picture(self.step, "sheet", sheet)

    def _share(self, step: int) -> float:
        """How much of the stage is done, 0 to 1 and above: by its steps, or by the clock where that is ahead."""
        share = step / self.stage.settings.steps
        if not self.stage.settings.within:
            return share
        by_clock = (time.monotonic() - self.began) / (60 * self.stage.settings.within)
        return max(share, self.share_before + (1 - self.share_before) * by_clock)

    def _rate(self, step: int) -> float:
        """The share of the learning rate: a linear warm-up, then a cosine down to nothing."""
        warmup = self.stage.settings.warmup
        if step < warmup:
            return step / warmup
        start = warmup / self.stage.settings.steps
        share = (self._share(step) - start) / max(1 - start, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _any(self, stop: bool) -> bool:
        """Whether any process wants to stop: they must leave the loop together."""
        if self.accelerator.num_processes == 1:
            return stop
        votes = self.accelerator.reduce(torch.tensor(float(stop), device=self.accelerator.device), "sum")
        return bool(votes > 0)

    def _save(self) -> None:
        self._check_finite()
        if not self.accelerator.is_main_process:
            return
        state = {
            "step": self.step,
            "share": self._share(self.step),
            "parameters": [parameter.detach() for parameter in self.parameters],
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        with written_aside(self.folder / STATE) as aside:
            torch.save(state, aside)

    def _resume(self) -> int:
        path = self.folder / STATE
        if self.accelerator.is_main_process:
            remove_leftovers(path)
        if not path.exists():
            return 0
        state = self._read_state(path)
        with torch.no_grad():
            for parameter, value in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(value)
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.share_before = state["share"]
        return int(state["step"])

    def _agree_on_step(self) -> None:
        own = torch.tensor([self.step], device=self.accelerator.device)
        steps = self.accelerator.gather(own).tolist()
        if len(set(steps)) > 1:
            raise TrainingError(
                f'The processes would go on from different steps ({steps}): "{self.folder}" must be on a disk that all '
                "machines share."
            )

    def _read_state(self, path: Path) -> dict[str, Any]:
        try:
            return torch.load(path, map_location=self.accelerator.device, weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f'The state of stage {self.stage.name}, "{path}", is damaged: delete it to begin the stage anew, or '
                "put a copy of it there."
            ) from error


def _batches(make: Callable[[], Any], ahead: bool) -> Generator[Any]:
    """Batches without end; ``ahead`` makes the next one while the GPU is busy with this one."""
    if not ahead:
        while True:
            yield make()
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(make)
        while True:
            batch = coming.result()
            coming = executor.submit(make)
            yield batch


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
