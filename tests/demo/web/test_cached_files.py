"""Files on their way to the browser."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.web.cached_files import cached_file, previews_png, read_previews
from mmdiff_core.errors import WritingError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path


def test_the_same_contents_are_the_same_file() -> None:
    first, second = cached_file(b"one", "a.png")["path"], cached_file(b"one", "a.png")["path"]
    assert first == second
    assert Path(first).read_bytes() == b"one"
    assert cached_file(b"two", "a.png")["path"] != first


def test_a_file_that_is_being_read_is_not_written_again(folder: Path) -> None:
    path = Path(cached_file(b"one", "a.png")["path"])
    os.utime(path, (0, 0))
    before = path.stat()
    cached_file(b"one", "a.png")
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_ctime_ns > before.st_ctime_ns
    assert path.stat().st_mtime > 0  # but it is young again: no sweep takes it for forgotten
    assert [found.name for found in folder.rglob("*") if found.is_file()] == ["a.png"]


def test_a_full_disk_is_told_without_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WritingError, match="the disk is full") as caught:
        cached_file(b"one", "cat.png")
    assert '"cat.png"' in str(caught.value)
    assert str(folder) not in str(caught.value)


def test_previews_come_back_from_their_sheet() -> None:
    frames = [Image.new("RGB", (12, 8), (20 * step, 0, 0)) for step in range(3)]
    again = read_previews(previews_png([*frames[:2], frames[2].resize((24, 16))]))
    assert [(frame.size, frame.getpixel((0, 0))) for frame in again] == [
        ((12, 8), (20 * step, 0, 0)) for step in range(3)
    ]


@pytest.mark.parametrize("count", ["0", "-1", "201", "x", "99"])
def test_a_forged_sheet_has_no_previews(count: str) -> None:
    info, buffer = PngInfo(), io.BytesIO()
    info.add_text("frames", count)
    Image.new("RGB", (24, 8)).save(buffer, "PNG", pnginfo=info)
    assert read_previews(buffer.getvalue()) == read_previews(b"no picture") == ()
