from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.form import photos
from demo.form.photos import check_photos, prepared_html, still_cached
from demo.server.photo_files import PhotoFiles


def test_bad_photos_are_named_and_the_others_stay(photo: str, tmp_path: Path) -> None:
    empty = tmp_path / "nothing.jpg"
    empty.touch()
    scan = tmp_path / "scan.tiff"
    Image.new("CMYK", (20, 20)).save(scan)

    kept, rejected = check_photos([(photo, None), (str(empty), None), (str(scan), None)], PhotoFiles())

    assert kept[0] == photo
    with Image.open(kept[1]) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")  # a browser shows no TIFF
    assert len(kept) == 2
    (sentence,) = rejected
    assert "nothing.jpg" in sentence


@pytest.mark.parametrize(
    ("name", "form", "stays"),
    [
        ("cat.JPG", "JPEG", True),
        ("cat.jpg", "PNG", False),
        ("cat.png", "TGA", False),
        ("cat.jfif", "JPEG", False),
        ("cat.pjpeg", "JPEG", False),
        ("cat.mpo", "MPO", False),
        ("cat.tga", "TGA", False),
        ("cat", "PNG", False),
    ],
)
def test_what_a_browser_would_not_show_becomes_a_png(name: str, form: str, stays: bool, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), "orange").save(tmp_path / name, form)
    (kept,), rejected = check_photos([(str(tmp_path / name), None)], PhotoFiles())
    assert rejected == ()
    if stays:
        assert kept == str(tmp_path / name)
    else:
        with Image.open(kept) as image:
            assert image.format == "PNG"


def test_an_empty_gallery_stays_empty() -> None:
    assert check_photos(None, PhotoFiles()) == ([], ())
    assert prepared_html((), 224, PhotoFiles()) == ""


def test_the_model_sees_squares_with_grey_for_what_is_transparent(tmp_path: Path) -> None:
    cut_out = Image.new("RGBA", (80, 40), (255, 0, 0, 0))
    cut_out.paste((255, 0, 0, 255), (0, 0, 40, 40))
    cut_out.save(tmp_path / "cut.png")
    html = prepared_html([str(tmp_path / "cut.png")], side=64, photo_files=PhotoFiles())
    assert '<button type="button" data-cut="0,0">' in html
    (data,) = re.findall(r"base64,([^\"]+)", html)
    seen = np.asarray(Image.open(BytesIO(b64decode(data))), dtype=int)
    assert seen.shape == (64, 64, 3)
    for at, colour in {(32, 12): (255, 0, 0), (32, 52): (127, 127, 127), (4, 32): (0, 0, 0)}.items():
        assert np.abs(seen[at] - colour).max() < 16  # it is a JPEG


def test_only_uploaded_photos_come_back(photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    Image.new("RGB", (20, 20)).save(uploads / "mine.png")
    (uploads / "torn.png").write_bytes(b"no picture")
    monkeypatch.setattr(photos, "get_upload_folder", lambda: str(uploads))

    asked = [str(uploads / "mine.png"), str(uploads / "torn.png"), str(uploads / "gone.png"), photo]
    kept, rejected = still_cached([*asked, str(uploads / ".." / Path(photo).name)], PhotoFiles())

    assert kept == [str(uploads / "mine.png")]
    assert rejected == ("4 photos are no longer on the server: drop them again.",)
    assert still_cached(kept, PhotoFiles()) == (kept, ())
