"""TensorBoard's log: numbers, images, and nothing from after the step of a resume."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.errors import TrainingError
from mmdiff_core.training.tensorboard import TensorBoardWriter


def test_numbers_and_images_are_read_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = TensorBoardWriter(tmp_path, 0)
    for step in (1, 2, 3):
        writer.add_scalars(step, {"loss": 1 / step, "lr": 0.1})
    writer.add_image(2, "sheet", Image.new("RGB", (8, 4), "red"))
    writer.close()
    resumed = TensorBoardWriter(tmp_path, 3)
    resumed.add_scalars(3, {"loss": 9.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 0.5), (3, 9.0)]
    assert [event.step for event in events.Scalars("lr")] == [1, 2]
    assert [event.step for event in events.Images("sheet")] == [2]


def test_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match="requirements-train"):
        TensorBoardWriter(tmp_path, 0)
