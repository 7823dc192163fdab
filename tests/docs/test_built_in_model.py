"""The ways to use the built-in model that the documentation shows: from the shell, from Python and over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from demo.page import build_ui
from mmdiff_core.cli.main import main
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
from tests.helpers.documents import blocks, commands, of_program, section
from tests.helpers.paths import DOCS, README
from tests.helpers.stand_in import served_page

# The programs use no old names.
pytestmark = pytest.mark.filterwarnings("error:.*will be removed in the next version:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the reader is; the photos that the Python and HTTP examples name are there."""
    folder = tmp_path_factory.mktemp("reader")
    for noun, names in {"cat": ("cat1.png", "cat2.png", "cat.png"), "robot": ("robot.png",)}.items():
        for name, photo in zip(names, toy_photos(noun, HELD_OUT + 5, len(names), 96), strict=True):
            photo.save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def _program(document: Path, heading: str) -> str:
    (program,) = blocks(section(document, heading), "python")
    return program


@pytest.mark.slow
def test_from_the_shell(folder: Path) -> None:
    for words in commands(section(README, "## From the shell")):
        assert main(of_program(words)) == 0
    assert len(list((folder / "toys" / "cat").iterdir())) == 4
    made = sorted(path.name for path in (folder / "out").iterdir())
    assert made == ["1_seed7.png", "1_seed7_1_cat.png", "1_seed7_2_robot.png", "1_seed7_maps.npz", "settings.json"]


@pytest.mark.slow
def test_from_python(folder: Path) -> None:
    """The front page's program gives the images of the longer one, which writes heatmaps, too."""
    images = []
    for document, heading in ((README, "## From Python"), (DOCS / "api.md", "## Python")):
        exec(compile(_program(document, heading), document.name, "exec"), {})
        images.append([Image.open(folder / f"{seed}.png").tobytes() for seed in (7, 8)])
        for seed in (7, 8):
            (folder / f"{seed}.png").rename(folder / f"{seed}_made.png")
    assert images[0] == images[1]
    for seed, image in zip((7, 8), images[0], strict=True):
        assert len(Image.open(folder / f"{seed}_cat.png").tobytes()) == len(image)
        assert Image.open(folder / f"{seed}_cat.png").tobytes() != image


@pytest.mark.slow
def test_over_http() -> None:
    with served_page(build_ui(Personalizer.from_assets())) as url:
        said: dict[str, list[dict[str, object]]] = {}
        for program in blocks(section(DOCS / "api.md", "## HTTP"), "python"):  # the second goes on from the first
            exec(compile(program.replace("http://127.0.0.1:7860", url.rstrip("/")), "api.md", "exec"), said)
    for (image,) in (said["images"], said["snowy"]):
        assert Image.open(str(image["image"])).size == (192, 192)
