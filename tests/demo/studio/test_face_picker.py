"""What a card shows of the faces in its photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from demo.server.photo_files import PhotoFiles
from demo.studio.face_picker import face_picker_record
from mmdiff_core.encoders.face import DetectedFace
from mmdiff_core.errors import ModelError
from mmdiff_core.types import FaceChoice
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Two people, nobody, one."""
    shown = {"two.png": group(RED, GREEN, sizes=(6, 10)), "none.png": group(), "one.png": group(BLUE)}
    for name, image in shown.items():
        image.save(tmp_path / name)
    return [str(tmp_path / name) for name in shown]


def test_every_photo_with_its_faces(photos: list[str]) -> None:
    shown = face_picker_record(photos, {photos[2]: FaceChoice(None, 0.5)}, Squares(), PhotoFiles())
    assert shown["error"] == ""
    assert [len(photo["faces"]) for photo in shown["photos"]] == [2, 0, 1]
    assert [photo["chosen"] for photo in shown["photos"]] == [2, 0, 1]  # the largest, none, the only one
    assert [photo["weight"] for photo in shown["photos"]] == [1.0, 1.0, 0.5]
    assert shown["photos"][0]["faces"][0] == [2 / 32, 4 / 24, 8 / 32, 10 / 24]
    assert shown["photos"][0]["src"].startswith("data:image/jpeg;base64,")


def test_a_choice_that_no_longer_fits_is_the_largest_again(photos: list[str]) -> None:
    assert (
        face_picker_record(photos[:1], {photos[0]: FaceChoice(1)}, Squares(), PhotoFiles())["photos"][0]["chosen"] == 1
    )
    assert (
        face_picker_record(photos[:1], {photos[0]: FaceChoice(7)}, Squares(), PhotoFiles())["photos"][0]["chosen"] == 2
    )


def test_a_photo_that_cannot_be_read_is_left_to_its_own_message(tmp_path: Path, photos: list[str]) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture")
    assert len(face_picker_record([str(tmp_path / "torn.png"), photos[2]], {}, Squares(), PhotoFiles())["photos"]) == 1


def test_what_is_not_installed_is_said() -> None:
    class Absent:
        def find(self, photo: Image.Image) -> Sequence[DetectedFace]:
            raise ModelError("run pip install")

    shown = face_picker_record([group(RED)], {}, Absent(), PhotoFiles())  # type: ignore[arg-type]
    assert shown == {"photos": [], "error": "run pip install"}
