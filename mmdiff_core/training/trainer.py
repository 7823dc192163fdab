"""The training loop of every stage, resumable, on accelerate.

A run survives Ctrl-C and a kill: the state is written to a temporary file and renamed every ``save_every_s`` seconds
and when the stage ends, and the next start continues from that step.
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
from tqdm import tqdm

from mmdiff_core.atomic_files import atomic_file, named_disk_errors, remove_leftovers
from mmdiff_core.errors import TrainingError
from mmdiff_core.training.master_weights import MasterWeights
from mmdiff_core.training.optimizer import make_optimizers
from mmdiff_core.training.precision import attention_kernels, mixed_precision
from mmdiff_core.training.stage import ExactlyResumable, HasHiddenWeights, Seekable, Stage, TrainerOptions
from mmdiff_core.training.tensorboard import TensorBoardWriter

logger = logging.getLogger(__name__)

STATE = "state.pt"


class Trainer:
    """Trains one stage in a run folder: ``state.pt``, ``log.jsonl``, ``sheets/``, ``tensorboard/``.

    Args:
        stage: networks, batches and losses.
        folder: for the files of the run; a state in it is resumed.
        device: ``cpu`` or ``cuda``.
        save_every_s: seconds between two saves, so the most work that a kill may cost.
        sheet_every: steps between two sample sheets.
        minutes: save and stop after that much time; None: at the stage's last step.
        options: precision, accumulation, optimizer and logging.

    Raises:
        TrainingError: the processes found states of different steps.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        device: str = "cpu",
        save_every_s: float = 60.0,
        sheet_every: int = 1000,
        minutes: float | None = None,
        options: TrainerOptions | None = None,
    ) -> None:
        self.stage, self.folder, self.options = stage, folder, options or TrainerOptions()
        self.started, self.progress_before = time.monotonic(), 0.0
        self.save_every_s, self.sheet_every = save_every_s, sheet_every
        self.deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
        (folder / "sheets").mkdir(parents=True, exist_ok=True)
        precision = mixed_precision(device) if self.options.precision == "auto" else self.options.precision
        half = self.options.half_weights and precision == "bf16"
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision="no" if half else precision)
        logger.info("%s trains in %s", stage.name, _precision_name(precision, half))
        torch.backends.cudnn.benchmark = True  # every batch has the same shapes
        settings = stage.settings
        self.parameters = stage.trained()
        self.weights = MasterWeights(stage.network, self.parameters, half)
        self.network = self.accelerator.prepare(stage.network)
        self.weights.to(self.accelerator.device)
        hidden = self.weights.masters_of(stage.hidden_weights()) if isinstance(stage, HasHiddenWeights) else ()
        optimizers = make_optimizers(self.weights.masters, settings, self.options.eight_bit, hidden)
        self.base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.optimizers = [self.accelerator.prepare_optimizer(optimizer) for optimizer in optimizers]
        self.ema = EMAModel(self.weights.masters, decay=settings.ema, use_ema_warmup=True, power=3 / 4, foreach=True)
        self.grad_norm = torch.zeros(())  # of the last step
        self.step = self._resume()
        self._agree_on_step()
        writes = self.options.tensorboard and self.accelerator.is_main_process
        self.tensorboard = TensorBoardWriter(folder / "tensorboard", self.step) if writes else None

    def run(self) -> bool:
        """Train to the stage's last step; return whether it was reached, False after an interrupt (which saves)."""
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
        started = saved = logged = time.monotonic()
        first, waited_s = self.step, 0.0
        batches = _batches(self.stage.batch, ahead=self.accelerator.device.type == "cuda")
        with interrupts() as interrupted, attention_kernels(self.accelerator.device), bar, closing(batches):
            while not self._any(interrupted() or time.monotonic() > self.deadline or self._progress(self.step) >= 1):
                waiting_since = time.monotonic()
                parts = [next(batches) for _ in range(self.options.accumulate)]
                waited_s += time.monotonic() - waiting_since
                terms = self.train_step(parts)
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
        if self.tensorboard is not None:
            self.tensorboard.close()
        done = self._any(self._progress(self.step) >= 1)
        if done and self.step % self.sheet_every:
            self._sheet()
        logger.info("%s %s at step %d", self.stage.name, "finished" if done else "interrupted, saved", self.step)
        self._log_speed(self.step - first, time.monotonic() - started, waited_s)
        return done

    def _log_speed(self, steps: int, seconds: float, waited_s: float) -> None:
        """Log the samples per second of all processes, sheets and saving included, and the share spent on batches."""
        batch = self.stage.settings.batch * self.options.accumulate * self.accelerator.num_processes
        samples = steps * batch
        speed, waiting = samples / max(seconds, 1e-9), 100 * waited_s / max(seconds, 1e-9)
        logger.info(
            "%s: %d samples in %.0f s, %.1f per second; %.0f %% of the time was spent waiting for batches",
            self.stage.name, samples, seconds, speed, waiting,
        )  # fmt: skip

    def finish(self) -> Mapping[str, float]:
        """Put the averaged weights into the networks, in float32; the stage measures and stores them."""
        self.weights.to_float32()
        self.ema.copy_to(self.parameters)
        return self.stage.finish()

    def train_step(self, parts: Sequence[Any]) -> dict[str, Tensor]:
        """Take one step, with the mean gradient over the parts of its batch and over the processes."""
        losses: list[dict[str, Tensor]] = []
        for index, batch in enumerate(parts):
            last = index == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                terms: dict[str, Tensor] = self.network(batch)
                self.accelerator.backward(torch.stack(list(terms.values())).sum() / len(parts))
            losses.append({name: value.detach() for name, value in terms.items()})
        self.weights.take_gradients()
        norm = self.accelerator.clip_grad_norm_(self.weights.masters, self.stage.settings.max_grad_norm)
        self._set_lr()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.weights.publish()
        self.ema.step(self.weights.masters)
        self.step += 1
        means = {name: torch.stack([terms[name] for terms in losses]).mean() for name in losses[0]}
        loss = torch.stack(list(means.values())).sum()
        # With scaled half precision some gradients overflow and their step is skipped; the loss shows a real failure.
        self.grad_norm = loss if norm is None or self.accelerator.scaler is not None else norm
        return {"loss": loss, **means}

    def _check_finite(self) -> None:
        """Raise TrainingError if the run diverged. Called before logging and saving only: reading waits for the GPU."""
        if not torch.isfinite(self.grad_norm):
            raise TrainingError(
                f"The gradient of stage {self.stage.name} is {float(self.grad_norm)} at step {self.step}, so nothing "
                "more is saved. The same command continues from the last saved state; try a lower learning rate."
            )

    def _log_is_due(self, logged: float) -> bool:
        """Whether to log the losses: by steps, where all processes must agree, or by the clock."""
        if self._progress(self.step) >= 1:
            return True
        if self.options.log_every:
            return self.step % self.options.log_every == 0
        return time.monotonic() - logged > 2.0

    def _log(self, terms: Mapping[str, Tensor], waited_s: float) -> dict[str, float]:
        self._check_finite()
        means = self.accelerator.reduce(dict(terms), "mean") if self.options.log_every else terms
        values = {name: float(value) for name, value in means.items()}
        self._write_log({"batches_s": round(waited_s, 2), **values}, values)
        return values

    def _write_log(self, line: Mapping[str, float], scalars: Mapping[str, float]) -> None:
        """Append a line to ``log.jsonl`` and send the scalars to TensorBoard."""
        if self.accelerator.is_main_process:
            path = self.folder / "log.jsonl"
            with named_disk_errors(path), path.open("a") as log:
                log.write(json.dumps({"step": self.step, "time": time.time(), **line}) + "\n")
        if self.tensorboard is not None:
            self.tensorboard.add_scalars(self.step, {**scalars, "lr": float(self.optimizers[0].param_groups[0]["lr"])})

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Use the averaged weights in place of the current ones in a block."""
        half = self.weights.half
        if not half:
            self.ema.store(self.parameters)
        self.weights.publish(self.ema.shadow_params)
        try:
            # The stage's frozen parts outside its network stay in float32.
            with torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=half):
                yield
        finally:
            self.weights.publish() if half else self.ema.restore(self.parameters)

    def _validate(self) -> None:
        """Log the loss of the averaged weights on held-out examples, a share per process; save those weights."""
        if not isinstance(self.stage, ExactlyResumable):
            return
        accelerator = self.accelerator
        with self._averaged():
            total, count = self.stage.validate(accelerator.process_index, accelerator.num_processes)
            if accelerator.is_main_process:
                self.stage.checkpoint()
        sums = accelerator.reduce(torch.tensor([total, float(count)], device=accelerator.device), "sum")
        if sums[1] > 0:
            values = {"validation": float(sums[0] / sums[1])}
            self._write_log(values, values)

    def _sheet(self) -> None:
        """Write a sample sheet of the averaged weights."""
        self._check_finite()
        if not self.accelerator.is_main_process:
            return
        with self._averaged():
            sheet = self.stage.sheet()
        with atomic_file(self.folder / "sheets" / f"{self.step:07d}.png") as temporary:
            sheet.save(temporary)
        if self.tensorboard is not None:
            self.tensorboard.add_image(self.step, "sheet", sheet)

    def _progress(self, step: int) -> float:
        """Return the finished fraction of the stage, 0 to 1 and above: by steps, or by the clock if that is ahead."""
        by_steps = step / self.stage.settings.steps
        if not self.stage.settings.time_budget:
            return by_steps
        by_clock = (time.monotonic() - self.started) / (60 * self.stage.settings.time_budget)
        return max(by_steps, self.progress_before + (1 - self.progress_before) * by_clock)

    def _lr_factor(self, step: int) -> float:
        """Return the factor of the learning rate: a linear warm-up, then constant and down to zero, or a cosine."""
        settings, progress = self.stage.settings, self._progress(step)
        if step < settings.warmup:
            return step / settings.warmup
        if settings.cool_down:
            return min(max((1 - progress) * settings.steps / settings.cool_down, 0.0), 1.0)
        start = settings.warmup / settings.steps
        decayed = (progress - start) / max(1 - start, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(max(decayed, 0.0), 1.0)))

    def _set_lr(self) -> None:
        factor = self._lr_factor(self.step)
        for optimizer, base_lrs in zip(self.optimizers, self.base_lrs, strict=True):
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr * factor

    def _any(self, stop: bool) -> bool:
        """Whether any process wants to stop: they have to leave the loop together."""
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
            "share": self._progress(self.step),
            "parameters": [master.detach() for master in self.weights.masters],
            "ema": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        with atomic_file(self.folder / STATE) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> int:
        path = self.folder / STATE
        if self.accelerator.is_main_process:
            remove_leftovers(path)
        if not path.exists():
            return 0
        state = self._read_state(path)
        with torch.no_grad():
            for master, value in zip(self.weights.masters, state["parameters"], strict=True):
                master.copy_(value)
        self.weights.publish()
        self.ema.load_state_dict(state["ema"])
        stored = state["optimizers"] if "optimizers" in state else [state["optimizer"]]  # of earlier versions
        for optimizer, values in zip(self.optimizers, stored, strict=True):
            optimizer.load_state_dict(values)
        if self.accelerator.scaler is not None and "scaler" in state:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.progress_before = state["share"]
        return int(state["step"])

    def _agree_on_step(self) -> None:
        own = torch.tensor([self.step], device=self.accelerator.device)
        steps = self.accelerator.gather(own).tolist()
        if len(set(steps)) > 1:
            raise TrainingError(
                f'The processes would resume from different steps ({steps}): "{self.folder}" must be on a disk that '
                "all machines share."
            )

    def _read_state(self, path: Path) -> dict[str, Any]:
        try:
            return torch.load(path, map_location=self.accelerator.device, weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f'The state of stage {self.stage.name}, "{path}", is damaged: delete it to restart the stage, or '
                "replace it by a copy."
            ) from error


def _precision_name(precision: str, half: bool) -> str:
    if precision == "no":
        return "float32"
    return f"{precision} with float32 masters" if half else f"mixed precision, {precision}"


def _batches(make: Callable[[], Any], ahead: bool) -> Generator[Any]:
    """Yield batches without end; ``ahead`` makes the next one while the GPU is busy with this one."""
    if not ahead:
        while True:
            yield make()
    with ThreadPoolExecutor(1) as executor:
        upcoming = executor.submit(make)
        while True:
            batch = upcoming.result()
            upcoming = executor.submit(make)
            yield batch


@contextmanager
def interrupts() -> Iterator[Any]:
    """Catch Ctrl-C and SIGTERM, so that the loop stops after the current step; a second Ctrl-C stops at once.

    Yields a function that tells whether a signal arrived.
    """
    caught: list[int] = []

    def note(number: int, _frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
