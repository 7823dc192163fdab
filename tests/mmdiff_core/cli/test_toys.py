"""The ``toy`` and ``contact-sheets`` commands, and photos for the app."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.cli.main import main
from mmdiff_core.output import world_sheets
from mmdiff_core.toyworld import toy_photos
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary


def command(*words: str) -> list[Path]:
    """Run a command as the shell does; the files that it says it wrote."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(words) == 0
    return [Path(line) for line in said.getvalue().splitlines()]


def test_toy_writes_different_views_of_one_toy(tmp_path: Path) -> None:
    written = command(
        "toy", "--class", "cat", "--seed", "5", "--views", "3", "--size", "64", "--out", str(tmp_path / "a")
    )
    photos = [np.asarray(Image.open(path)) for path in written]
    assert [photo.shape for photo in photos] == [(64, 64, 3)] * 3
    assert not np.array_equal(photos[0], photos[1])
    again = toy_photos("cat", 5, 3, 64)
    assert all(np.array_equal(photo, np.asarray(other)) for photo, other in zip(photos, again, strict=True))


def test_sheet_has_every_noun_place_style_and_accessory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Vocabulary(("cat", "owl"), ("beach", "kitchen", "stage"), ("photo", "pixel art"), ("hat",))
    monkeypatch.setattr(world_sheets, "WHOLE_WORLD", small)
    written = command("contact-sheets", "--size", "16", "--out", str(tmp_path))
    names = {"noun_cat", "noun_owl", "places", "styles", "accessories", "scenes"}
    assert {path.stem for path in written} == names
    for path in written:
        assert np.asarray(Image.open(path)).std() > 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class", "cow"), r'no toy "cow".*cat, dog'),
        (("--class", "cat", "--views", "0"), r"views is 0.*1 to 64"),
        (("--class", "cat", "--size", "5"), r"size is 5.*16 to 1024"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert main(("toy", *words, "--out", str(tmp_path / "none"))) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "none").exists()


def test_one_photo_is_enough() -> None:
    assert [photo.size for photo in toy_photos("rocket", 900_001, 1, 32)] == [(32, 32)]
