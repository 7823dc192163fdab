from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from demo.viewer.saved_picture import MAX_SETTINGS, open_saved, restorable, restore_message
from mmdiff_core.errors import PhotoError
from mmdiff_core.output.export import png_info
from tests.mmdiff_core.output.conftest import SETTINGS


def test_what_is_said_of_a_saved_picture() -> None:
    settings = {"model": "/models/sd", "subjects": [{"name": "cat", "region": [0, 0, 1, 1]}]}
    assert restore_message(settings, ["steps 150"], "toybox") == (
        "Prompt, names, strengths and settings are as they were, except for what the fields here cannot hold: steps "
        "150, regions. The picture is of another model, “sd”; here “toybox” is loaded. Photos are not inside a "
        "picture: the cards keep those they have; drop the others again."
    )
    assert restore_message({"model": "toybox", "subjects": []}, [], "toybox") == (
        "Prompt, names, strengths and settings are as they were. It was made without subjects: the cards stay as they "
        "are."
    )


def test_a_forged_picture_brings_no_path() -> None:
    record = restorable(
        {"prompt": "a cat", "strengths": {0: 9}, "subjects": [{"name": "cat", "photos": ["/etc/hosts"]}]}
    )
    assert record == {"prompt": "a cat", "subjects": [{"name": "cat", "strength": None, "photos": 0}]}
    assert restorable({"subjects": "cat"}) == {}


def _zip(path: Path, settings: object, photos: int, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("settings.json", json.dumps(settings))
        for number in range(photos, 0, -1):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path.with_name("one.png"))
            packed.write(path.with_name("one.png"), f"photos/{number}-tom.png")
        Image.new("RGB", (24, 16)).save(path.with_name("one.png"), pnginfo=png_info(SETTINGS))
        packed.write(path.with_name("one.png"), "mm-diff-3.png")
        for name, data in more.items():
            packed.writestr(name, data)
    return path


def test_a_zip_brings_each_subject_its_photos(tmp_path: Path) -> None:
    """They count through all subjects: the tenth comes after the ninth."""
    subjects = [{"name": "cat", "strength": 1.0, "photos": 9}, {"name": "dog", "strength": 1.0, "photos": 2}]
    saved = open_saved(str(_zip(tmp_path / "all.zip", {**SETTINGS, "subjects": subjects}, 11)))
    reds = [[Image.open(photo).getpixel((0, 0))[0] for photo in own] for own in saved.photos]
    assert reds == [list(range(1, 10)), [10, 11]]
    assert saved.file is not None
    assert (saved.file["orig_name"], saved.file["mime_type"]) == ("mm-diff-3.png", "image/png")
    assert saved.settings["seed"] == SETTINGS["seed"]


@pytest.mark.parametrize(
    "settings", [["no", "record"], {"prompt": "x" * MAX_SETTINGS}, None], ids=["a list", "too large", "missing"]
)
def test_another_zip_is_refused_by_its_name(tmp_path: Path, settings: object) -> None:
    path = _zip(tmp_path / "other.zip", settings, 1)
    if settings is None:
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("../../etc/settings.json", "{}")
    with pytest.raises(PhotoError, match=r"other\.zip.*Save everything") as raised:
        open_saved(str(path))
    assert str(tmp_path) not in str(raised.value)


def test_what_a_zip_claims_about_its_photos_is_not_believed(tmp_path: Path) -> None:
    subjects = [{"name": "cat", "photos": ["/etc/passwd"]}, "dog", {"name": "owl", "photos": 99}]
    saved = open_saved(str(_zip(tmp_path / "forged.zip", {**SETTINGS, "subjects": subjects}, 2)))
    assert [len(own) for own in saved.photos] == [0, 0, 2]


def test_no_field_is_given_a_sign_that_it_shows_as_a_box() -> None:
    record = restorable({"prompt": "a\0 cat\x1b", "subjects": [{"name": "c\x00at", "strength": 1}]})
    assert (record["prompt"], record["subjects"][0]["name"]) == ("a cat", "cat")
