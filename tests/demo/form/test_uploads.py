"""Photos that programs hand over: files, data URLs and URLs of this server, and nothing else."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from gradio_client import handle_file
from PIL import Image

from demo.form import uploads
from demo.form.uploads import from_data_url, uploaded
from mmdiff_core.errors import PhotoError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def _url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_an_uploaded_file_is_its_path(photo: str) -> None:
    assert uploaded(handle_file(photo), "cat") == photo


def test_a_data_url_becomes_a_file_in_the_cache(cache: Path) -> None:
    path = Path(uploaded(_url(Image.new("RGB", (16, 12), "red")), "cat"))
    assert path.is_relative_to(cache)
    with Image.open(path) as image:
        assert (image.size, image.getpixel((0, 0))) == ((16, 12), (255, 0, 0))


@pytest.mark.parametrize("url", ["data:image/png,plain", "data:image/png;base64,", "data:image/png;base64,%%%", None])
def test_a_data_url_without_an_image_is_refused(cache: Path, url: object) -> None:
    with pytest.raises(PhotoError, match="cat cannot be read from its data URL"):
        from_data_url(url, "cat")


def test_a_data_url_has_a_limit(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    with pytest.raises(PhotoError):
        from_data_url(_url(Image.new("RGB", (16, 12))), "cat")


def test_a_url_of_this_server_names_a_file_of_the_cache_alone(cache: Path, photo: str) -> None:
    own = cache / "toy 1.png"
    own.write_bytes(Path(photo).read_bytes())
    assert uploaded(f"http://here:7860/gradio_api/file={own.as_posix().replace(' ', '%20')}", "cat") == str(own)
    for path in (photo, f"{cache}/../{Path(photo).name}", f"{cache}/none.png"):
        with pytest.raises(PhotoError, match="no longer on the server"):
            uploaded(f"http://here:7860/gradio_api/file={path}", "cat")


@pytest.mark.parametrize(
    "given", ["https://elsewhere.example/cat.png", "/etc/passwd", 3, None, {"path": "/etc/passwd"}]
)
def test_nothing_else_is_opened(given: object) -> None:
    with pytest.raises(PhotoError, match="is not an uploaded file"):
        uploaded(given, "cat")
