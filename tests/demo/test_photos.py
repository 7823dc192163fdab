from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from demo.photos import sift


def test_bad_photos_are_named_and_the_others_stay(photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "nothing.jpg"
    empty.touch()
    scan = tmp_path / "scan.tiff"
    Image.new("CMYK", (20, 20)).save(scan)
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda message, **_: said.append(message))

    kept = sift([(photo, None), (str(empty), None), (str(scan), None)])

    assert kept[0] == photo
    assert isinstance(kept[1], Image.Image)  # a browser shows no TIFF
    assert kept[1].mode == "RGB"
    assert len(kept) == 2
    assert len(said) == 1
    assert "nothing.jpg" in said[0]


def test_an_empty_gallery_stays_empty() -> None:
    assert sift(None) == []
