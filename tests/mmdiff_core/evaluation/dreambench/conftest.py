"""A small dataset, a tiny model and tiny evaluators."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdiff_core.evaluation.dreambench.similarity import Evaluators
from mmdiff_core.pipeline import Personalizer
from tests.helpers import tiny
from tests.helpers.evaluators import save_evaluators


@pytest.fixture(scope="package")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cat and a dog of DreamBench, and a robot of our own."""
    folder = tmp_path_factory.mktemp("dataset")
    for place, name in enumerate(("cat2", "dog", "mech")):
        (folder / name).mkdir()
        for number in range(2):
            tiny.photo(10 * place + number).save(folder / name / f"0{number}.jpg")
    (folder / "classes.txt").write_text("mech, robot\n\n")
    return folder


@pytest.fixture(scope="package")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="package")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return save_evaluators(tmp_path_factory.mktemp("evaluators"))


@pytest.fixture(scope="package")
def parts(model: Path, folders: tuple[Path, Path]) -> tuple[Personalizer, Evaluators]:
    return Personalizer.load(model, model / "adapter.safetensors"), Evaluators.load(*folders)
