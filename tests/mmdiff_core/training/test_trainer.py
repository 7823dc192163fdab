"""The training loop on the smallest stage there can be: schedule, resume, interrupts, logs and validation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.errors import TrainingError
from mmdiff_core.training.stage import StageSettings, TrainerOptions
from mmdiff_core.training.trainer import STATE, Trainer, interrupts

KILLED_AT = 3  # saves


class Loss(nn.Linear):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": super().forward(batch).square().mean()}


def first_network() -> nn.Module:
    torch.manual_seed(0)
    return Loss(2, 1)


@dataclass
class Line:
    """The smallest stage there can be. Its batches follow the step."""

    settings: StageSettings = field(default_factory=lambda: StageSettings(steps=1000, batch=2, lr=1e-3))
    network: nn.Module = field(default_factory=first_network)
    name: str = "line"
    number: int = 0
    per_step: int = 1
    checkpoints: int = 0

    def trained(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    def seek(self, step: int) -> None:
        self.number = step * self.per_step

    def batch(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.number)
        self.number += 1
        return torch.randn(self.settings.batch, 2, generator=generator)

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (8, 8))

    def finish(self) -> Mapping[str, float]:
        return {}

    def validate(self, rank: int, world_size: int) -> tuple[float, int]:
        weight = next(self.network.parameters())
        return float(weight.detach().square().sum()), 1

    def checkpoint(self) -> None:
        self.checkpoints += 1


def weights(stage: Line) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in stage.trained()])


def log(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def settings(**changes: object) -> StageSettings:
    return replace(StageSettings(steps=6, batch=4, lr=0.1, warmup=2, ema=0.5), **changes)


def train_until_killed(folder: Path) -> None:
    """Save after every step; the save number ``KILLED_AT`` is cut off in the middle."""
    whole, saves = torch.save, [0]

    def save(state: object, path: Path) -> None:
        saves[0] += 1
        whole(state, path)
        if saves[0] == KILLED_AT:
            with Path(path).open("rb+") as file:
                file.truncate(100)
            signal.raise_signal(signal.SIGKILL)

    torch.save = save
    Trainer(Line(), folder, save_every_s=0).run()


@pytest.mark.slow
def test_a_kill_while_saving_costs_that_save_alone(tmp_path: Path) -> None:
    code = f"import sys, pathlib, {__name__} as t; t.train_until_killed(pathlib.Path(sys.argv[1]))"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(tmp_path.glob(f".{STATE}.*"))  # the half one
    trainer = Trainer(Line(), tmp_path)
    assert trainer.step == KILLED_AT - 1
    assert not list(tmp_path.glob(f".{STATE}.*"))


@pytest.mark.parametrize("left", [0, 50, 0.5])
def test_a_damaged_state_is_named(left: float, tmp_path: Path) -> None:
    trainer = Trainer(Line(), tmp_path)
    trainer._save()
    path = tmp_path / STATE
    data = path.read_bytes()
    path.write_bytes(data[: int(left if left >= 1 else left * len(data))])
    with pytest.raises(TrainingError, match="is damaged: delete it"):
        Trainer(Line(), tmp_path)


def test_the_learning_rate_warms_up_and_decays_to_zero(tmp_path: Path) -> None:
    trainer = Trainer(Line(settings(steps=100, warmup=10)), tmp_path)
    factors = [trainer._lr_factor(step) for step in range(101)]
    assert factors[:11] == pytest.approx([step / 10 for step in range(11)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)


def test_the_learning_rate_may_stay_constant_until_it_cools_down(tmp_path: Path) -> None:
    trainer = Trainer(Line(settings(steps=100, warmup=10, cool_down=20)), tmp_path)
    factors = [trainer._lr_factor(step) for step in range(101)]
    assert factors[10:81] == pytest.approx([1.0] * 71)
    assert factors[80:] == pytest.approx([1 - step / 20 for step in range(21)])
    trainer.train_step([trainer.stage.batch()])
    trainer.step = 90
    trainer.train_step([trainer.stage.batch()])
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.05)


def test_a_constant_rate_is_continued_at_will(tmp_path: Path) -> None:
    """Eight steps in one go, or four and four: the same."""
    whole, first, second = (Line(settings(steps=steps, cool_down=1)) for steps in (9, 5, 9))
    assert Trainer(whole, tmp_path / "whole").run()
    trainer = Trainer(first, tmp_path / "parts")
    for _ in range(4):
        trainer.train_step([first.batch()])
    trainer._save()
    assert Trainer(second, tmp_path / "parts").run()
    assert torch.equal(weights(second), weights(whole))


class HalfLoss(Loss):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": nn.Linear.forward(self, batch.to(self.weight.dtype)).float().square().mean()}


def half_line() -> Line:
    torch.manual_seed(0)
    return Line(settings(steps=12, lr=1e-3, ema=0.0), network=HalfLoss(2, 1))


def test_a_run_says_in_what_precision_it_trains(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    Trainer(half_line(), tmp_path / "a", options=TrainerOptions(precision="no", half_weights=True))
    Trainer(half_line(), tmp_path / "b", options=TrainerOptions(precision="bf16", half_weights=True))
    said = [record.getMessage() for record in caplog.records if "trains in" in record.getMessage()]
    assert said == ["line trains in float32", "line trains in bf16 with float32 masters"]


def test_masters_follow_the_float32_training(tmp_path: Path) -> None:
    """In steps that bf16 alone would lose, and the same after a stop."""
    exact, half, resumed = half_line(), half_line(), half_line()
    before = weights(exact)
    options = TrainerOptions(precision="bf16", half_weights=True)
    assert Trainer(exact, tmp_path / "exact", options=TrainerOptions(precision="no")).run()
    trainer = Trainer(half, tmp_path / "half", options=options)
    assert {p.dtype for p in half.trained()} == {torch.bfloat16}
    for _ in range(5):
        trainer.train_step([half.batch()])
    with trainer._averaged():
        assert weights(half).isfinite().all()
    trainer._save()
    trainer = Trainer(resumed, tmp_path / "half", options=options)
    assert trainer.run()
    trainer.finish()
    assert {p.dtype for p in resumed.trained()} == {torch.float32}
    moved = (weights(exact) - before).abs()
    assert ((weights(resumed) - weights(exact)).abs() < 0.1 * moved).all()


class Matrices(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.last = nn.Linear(16, 16), nn.Linear(16, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": self.last(self.hidden(batch.repeat(1, 8))).square().mean()}


class MatrixLine(Line):
    def hidden_weights(self) -> list[nn.Parameter]:
        return [self.network.hidden.weight]


def test_muon_takes_what_the_stage_names_and_resumes(tmp_path: Path) -> None:
    lines = [MatrixLine(settings(muon_lr=0.05), network=Matrices()) for _ in range(3)]
    whole, first, second = lines
    trainer = Trainer(whole, tmp_path / "whole")
    assert [type(optimizer.optimizer).__name__ for optimizer in trainer.optimizers] == ["AdamW", "MatrixMuon"]
    assert trainer.run()
    trainer = Trainer(first, tmp_path / "parts")
    for _ in range(3):
        trainer.train_step([first.batch()])
    trainer._save()
    assert Trainer(second, tmp_path / "parts").run()
    assert torch.equal(weights(second), weights(whole))


def test_the_state_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    stage = Line(settings())
    trainer = Trainer(stage, tmp_path)
    trainer.train_step([stage.batch()])
    trainer._save()
    state = torch.load(tmp_path / STATE, weights_only=True)
    (state["optimizer"],) = state.pop("optimizers")
    torch.save({**state, "schedule": {"last_epoch": 1}}, tmp_path / STATE)
    assert Trainer(Line(settings()), tmp_path).step == 1


def test_a_time_budget_drives_the_learning_rate_down(tmp_path: Path) -> None:
    trainer = Trainer(Line(settings(steps=10**6, warmup=1, time_budget=2.0)), tmp_path)
    trainer.started -= 60  # half of it is over
    assert trainer._progress(5) == pytest.approx(0.5, abs=0.01)
    assert trainer._lr_factor(5) == pytest.approx(0.5, abs=0.01)
    trainer.progress_before = 0.5  # in an earlier start
    assert trainer._progress(5) == pytest.approx(0.75, abs=0.01)
    trainer.started -= 120
    assert trainer._progress(5) > 1


def test_a_run_that_stopped_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    unbroken, stopped, resumed = Line(settings()), Line(settings()), Line(settings())
    assert Trainer(unbroken, tmp_path / "unbroken").run()
    trainer = Trainer(stopped, tmp_path / "parts")
    for _ in range(3):
        trainer.train_step([stopped.batch()])
    trainer._save()
    trainer = Trainer(resumed, tmp_path / "parts")
    assert trainer.step == 3
    assert trainer.run()
    assert torch.equal(weights(resumed), weights(unbroken))
    trainer.finish()
    assert not torch.equal(weights(resumed), weights(unbroken))  # the averaged ones


def test_small_batches_add_up_to_a_large_one(tmp_path: Path) -> None:
    whole, parts = Line(settings(steps=3)), Line(settings(steps=3, batch=2), per_step=2)
    whole.batch = lambda: torch.cat([parts_of(whole), parts_of(whole)])
    assert Trainer(whole, tmp_path / "whole", options=TrainerOptions(precision="no")).run()
    assert Trainer(parts, tmp_path / "parts", options=TrainerOptions(precision="no", accumulate=2)).run()
    torch.testing.assert_close(weights(whole), weights(parts))


def parts_of(stage: Line) -> Tensor:
    """The next batch of two."""
    generator = torch.Generator().manual_seed(stage.number)
    stage.number += 1
    return torch.randn(2, 2, generator=generator)


def test_losses_and_validations_are_logged(tmp_path: Path) -> None:
    stage = Line(settings())
    options = TrainerOptions(log_every=2, validate_every=3, tensorboard=True)
    assert Trainer(stage, tmp_path, sheet_every=4, options=options).run()
    lines = log(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert all(line["loss"] == line["square"] for line in lines if "loss" in line)
    assert stage.checkpoints == 2
    assert sorted(path.stem for path in (tmp_path / "sheets").iterdir()) == ["0000004", "0000006"]
    assert list((tmp_path / "tensorboard").iterdir())


def test_validation_sees_the_averaged_weights_and_leaves_the_current_ones(tmp_path: Path) -> None:
    stage = Line(settings())
    trainer = Trainer(stage, tmp_path, options=TrainerOptions(validate_every=1))
    trainer.train_step([stage.batch()])
    before = weights(stage)
    trainer.train_step([stage.batch()])
    current = weights(stage)
    trainer._validate()
    assert torch.equal(weights(stage), current)
    assert not torch.equal(before, current)
    (line,) = log(tmp_path)
    with trainer._averaged():
        assert line["validation"] == pytest.approx(stage.validate(0, 1)[0])


def test_minutes_stop_a_run_and_save_it(tmp_path: Path) -> None:
    assert not Trainer(Line(settings()), tmp_path, minutes=0.0).run()
    assert Trainer(Line(settings()), tmp_path).step == 0
    assert (tmp_path / STATE).exists()


def test_one_signal_asks_and_a_second_one_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGTERM)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_gradient_that_is_no_number_is_named_and_not_saved(tmp_path: Path) -> None:
    stage = Line(settings())
    trainer = Trainer(stage, tmp_path)
    trainer.train_step([torch.full((4, 2), torch.inf)])
    with pytest.raises(TrainingError, match="gradient of stage line is nan at step 1"):
        trainer._save()
    assert not (tmp_path / STATE).exists()


def test_processes_that_resume_from_different_steps_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "gather", lambda _, own: torch.cat([own, own + 1]))
    with pytest.raises(TrainingError, match=r"different steps \(\[0, 1\]\)"):
        Trainer(Line(), tmp_path)
