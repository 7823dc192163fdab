"""A tiny model folder and a tiny referee, which know the same small world."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.evaluation.toybox import toybox_judge
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase, draw_toybox_cases
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee, load_referee, save_referee
from mmdiff_core.toyworld.scenes.vocabulary import save_vocabulary
from tests.helpers import tiny
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.save_toybox(tmp_path_factory.mktemp("model"))
    save_vocabulary(VOCABULARY, folder)
    return folder


@pytest.fixture(scope="package")
def referee_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("referee") / "referee.safetensors"
    save_referee(Referee(CONFIG), file)
    return file


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take two steps for an image, and as few distractors as a gallery needs."""
    monkeypatch.setattr(toybox_judge, "DISTRACTORS", 15)
    monkeypatch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))


@pytest.fixture(scope="package")
def cases() -> list[ToyboxCase]:
    return draw_toybox_cases(VOCABULARY, {1: 1, 2: 1})


@pytest.fixture
def suite(model: Path, referee_file: Path) -> ToyboxSuite:
    return ToyboxSuite(Personalizer.load(model), load_referee(referee_file), seeds=(3, 4))
