"""The README's ways to use the built-in model, from the shell, from Python and over the API, followed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from demo.page import build_ui
from mmdiff_core.cli.main import main
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
from tests.helpers.paths import README
from tests.helpers.stand_in import served_page

TEXT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is; the photos that the Python and API examples name are there."""
    folder = tmp_path_factory.mktemp("reader")
    for noun, names in {"cat": ("cat1.png", "cat2.png", "cat.png"), "robot": ("robot.png",)}.items():
        for name, photo in zip(names, toy_photos(noun, HELD_OUT + 5, len(names), 96), strict=True):
            photo.save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def _block(section: str, language: str) -> str:
    start = TEXT.index(f"## {section}\n")
    found = re.search(rf"```{language}\n(.*?)```", TEXT[start:], re.DOTALL)
    assert found is not None
    return found.group(1)


def test_from_the_shell(folder: Path) -> None:
    lines = _block("From the shell", "bash").replace("\\\n", " ").splitlines()
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "mmdiff_core"]
        assert main(words[3:]) == 0
    assert len(list((folder / "toys" / "cat").iterdir())) == 4
    made = sorted(path.name for path in (folder / "out").iterdir())
    assert made == ["1_seed7.png", "1_seed7_1_cat.png", "1_seed7_2_robot.png", "1_seed7_maps.npz", "settings.json"]


def test_from_python(folder: Path) -> None:
    exec(compile(_block("From Python", "python"), "README", "exec"), {})
    for seed in (7, 8):
        picture, heatmap = (Image.open(folder / f"{seed}{kind}.png") for kind in ("", "_cat"))
        assert picture.size == heatmap.size
        assert picture.tobytes() != heatmap.tobytes()


def test_over_the_api() -> None:
    with served_page(build_ui(Personalizer.from_assets())) as url:
        said: dict[str, list[dict[str, object]]] = {}
        program = _block("Over the API", "python").replace("http://127.0.0.1:7860", url.rstrip("/"))
        exec(compile(program, "README", "exec"), said)
    (picture,) = said["pictures"]
    assert Image.open(str(picture["image"])).size == (96, 96)
