"""Flags that name a subject reach that subject, also where several have one name."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.cli.subject_flags import add_subject_flags, subjects_from_flags
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.types import Box, FaceChoice, Subject
from tests.helpers import tiny


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a", "b", "c"):
        tiny.photo(ord(name)).save(folder / f"{name}.png")
    (folder / "both").mkdir()
    for name in ("1.JPG", "2.webp"):
        tiny.photo(1).save(folder / "both" / name)
    (folder / "both" / "notes.txt").write_text("not a photo")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def read(photos: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos)

    def read(*flags: str) -> tuple[Subject, ...]:
        parser = argparse.ArgumentParser()
        add_subject_flags(parser)
        return subjects_from_flags(parser.parse_args(flags))

    return read


def test_files_and_folders_are_photos(read) -> None:
    cat, robot = read("--subject", "cat = a.png, b.png", "--subject", "robot=both,c.png")
    assert (cat.name, len(cat.photos), cat.scale, cat.region, cat.choices) == ("cat", 2, 1.0, None, ())
    assert (robot.name, len(robot.photos)) == ("robot", 3)
    assert read() == ()


def test_commas_in_the_names_of_files(read, photos: Path) -> None:
    for name in ("a,b.png", "b, c.png"):
        tiny.photo(7).save(photos / name)
    (photos / "x,y").mkdir(exist_ok=True)
    for name in ("1.png", "2.png"):
        tiny.photo(8).save(photos / "x,y" / name)
    counted = {"a,b.png": 1, "a,b.png,c.png": 2, "c.png,b, c.png": 2, "a.png,b.png": 2, "x,y,a.png": 3}
    for paths, count in counted.items():
        assert len(read("--subject", f"cat={paths}")[0].photos) == count, paths


def test_a_scale_and_a_region_by_name(read, tmp_path: Path) -> None:
    Image.new("L", (20, 10), 255).save(tmp_path / "mask.png")
    subjects = ("--subject", "cat=a.png", "--subject", "dog=b.png")
    regions = ("--region", "dog=0,0,0.5,1", "--region", f"cat={tmp_path / 'mask.png'}")
    cat, dog = read(*subjects, "--scale", "dog=0.5", *regions)
    assert (cat.scale, dog.scale, dog.region) == (1.0, 0.5, Box(0, 0, 0.5, 1))
    assert isinstance(cat.region, Image.Image)
    assert cat.region.size == (20, 10)


def test_subjects_of_one_name_in_their_order(read) -> None:
    three = ("--subject", "cat=a.png", "--subject", "dog=b.png", "--subject", "cat=c.png")
    assert [subject.scale for subject in read(*three, "--scale", "cat=0.5")] == [0.5, 1.0, 0.5]
    assert [subject.scale for subject in read(*three, "--scale", "cat=0.5", "--scale", "cat=2")] == [0.5, 1.0, 2.0]
    one = ("--subject", "cat=a.png")
    with pytest.raises(SettingsError, match='--scale is given 2 times for "cat"'):
        read(*one, "--scale", "cat=1", "--scale", "cat=2")


def test_faces_and_their_weights(read) -> None:
    subject = ("--subject", "man=a.png,b.png")
    (man,) = read(*subject, "--face", "man=0,2", "--mix", "man=0.7,0.3")
    assert man.choices == (FaceChoice(None, 0.7), FaceChoice(2, 0.3))
    assert read(*subject, "--mix", "man=1,2")[0].choices == (FaceChoice(None, 1.0), FaceChoice(None, 2.0))
    assert read(*subject, "--face", "man=1,0")[0].choices == (FaceChoice(1, 1.0), FaceChoice(None, 1.0))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--subject", "cat"], "--subject cat cannot be read: write it as in"),
        (["--subject", "=a.png"], "cannot be read"),
        (["--subject", "cat=a.png", "--scale", "dog=1"], "names no subject: there is cat"),
        (["--scale", "dog=1"], "names no subject: there is none"),
        (["--subject", "cat=a.png", "--scale", "cat=much"], '"much" is not a number'),
        (["--subject", "cat=a.png", "--face", "cat=1,1"], r'"cat" has 1 photo\(s\); give a number for each'),
        (["--subject", "cat=a.png", "--face", "cat=1.5"], "must be whole numbers"),
        (["--subject", "cat=a.png", "--face", "cat=-1"], "must be whole numbers"),
        (["--subject", "cat=a.png", "--mix", "cat=x"], "give numbers with commas"),
    ],
)
def test_what_cannot_be_read(flags: list[str], told: str, read) -> None:
    with pytest.raises(SettingsError, match=told):
        read(*flags)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--subject", "cat=empty"], 'folder "empty" for the subject "cat" contains no image'),
        (["--subject", "cat=none.png"], '"none.png" is not there'),
        (["--subject", "cat=a.png", "--region", "cat=none.png"], '"none.png" is not there'),
    ],
)
def test_photos_that_are_not_there(flags: list[str], told: str, read) -> None:
    with pytest.raises(PhotoError, match=told):
        read(*flags)
