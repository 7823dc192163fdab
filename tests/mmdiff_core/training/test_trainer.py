"""A run that is killed while it saves goes on from the state before; a state that is damaged is named."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.errors import TrainingError
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.trainer import STATE, Trainer

KILLED_AT = 3  # saves


class Loss(nn.Linear):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"square": super().forward(batch).square().mean()}


@dataclass
class Line:
    """The smallest stage there can be."""

    settings: StageSettings = field(default_factory=lambda: StageSettings(steps=1000, batch=2, lr=1e-3))
    network: nn.Module = field(default_factory=lambda: Loss(2, 1))
    name: str = "line"

    def trained(self) -> list[nn.Parameter]:
        return list(self.network.parameters())

    def batch(self) -> Tensor:
        return torch.randn(2, 2)

    def sheet(self) -> Image.Image:
        return Image.new("RGB", (8, 8))

    def finish(self) -> Mapping[str, float]:
        return {}


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
