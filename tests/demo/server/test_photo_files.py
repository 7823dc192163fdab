"""Uploaded photos, decoded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from demo.server.photo_files import PhotoFiles
from mmdiff_core.errors import PhotoError


def _save(path: Path, colour: str) -> str:
    Image.new("RGB", (64, 48), colour).save(path)
    return str(path)


def test_a_photo_that_changes_is_decoded_anew(tmp_path: Path) -> None:
    files, photo = PhotoFiles(), _save(tmp_path / "cat.png", "orange")
    assert files.load(photo).getpixel((0, 0)) == (255, 165, 0)
    _save(tmp_path / "cat.png", "red")
    assert files.load(photo).getpixel((0, 0)) == (255, 0, 0)


def test_what_a_caller_does_to_a_photo_is_his_own(tmp_path: Path) -> None:
    files, photo = PhotoFiles(), _save(tmp_path / "cat.png", "orange")
    files.load(photo).thumbnail((8, 8))
    assert files.load(photo).size == (64, 48)


def test_photos_whose_files_are_gone_are_forgotten(tmp_path: Path) -> None:
    files, photo = PhotoFiles(), _save(tmp_path / "cat.png", "orange")
    files.load(photo)
    Path(photo).unlink()
    files.forget_missing()
    assert len(files) == 0
    with pytest.raises(PhotoError, match=r"cat\.png"):
        files.load(photo)


def test_the_least_recently_used_leave_first(tmp_path: Path) -> None:
    files = PhotoFiles(max_bytes=2 * 3 * 64 * 48)
    first, second, third = (_save(tmp_path / f"{name}.png", "blue") for name in ("a", "b", "c"))
    for photo in (first, second, first, third):
        files.load(photo)
    assert len(files) == 2
    assert {path.name for path in files._photos} == {"a.png", "c.png"}


def test_images_are_not_kept() -> None:
    files = PhotoFiles()
    assert files.load(Image.new("RGB", (16, 16), "red")).size == (16, 16)
    assert len(files) == 0
