from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from demo.server.limits import Limits
from demo.viewer.history import History, HistoryEntry, animation_format, map_kind
from demo.viewer.reproduce import photo_names
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.stand_in import StandIn


@pytest.fixture(scope="module")
def kept() -> HistoryEntry:
    subjects = tuple(Subject(name, (Image.new("RGB", (8, 8)),)) for name in ("cat", "robot"))
    steps = list(StandIn().generate(GenerateRequest("a cat and a robot", subjects, steps=3)))
    return HistoryEntry(steps[-1].finished, tuple(step.preview for step in steps), (2, 0), (("a.png",), ("b.png",)))


def test_the_zip_holds_picture_maps_and_how_to_make_it_again(kept: HistoryEntry) -> None:
    with zipfile.ZipFile(io.BytesIO(kept.zipped("text"))) as packed:
        names = set(packed.namelist())
        assert b"\npython -m mmdiff_core generate" in packed.read("reproduce.sh")
    assert {"mm-diff-0.png", "mm-diff-0_maps.npz", "settings.json", "figure.pdf", "reproduce.py"} <= names


@pytest.mark.slow
def test_the_zip_brings_the_photos_under_the_names_that_the_program_uses(kept: HistoryEntry, photo: str) -> None:
    with_files = replace(kept, files=((photo,), ("/gone/b.png",)))
    with zipfile.ZipFile(io.BytesIO(with_files.zipped("text"))) as packed:
        assert packed.read("a.png") == Path(photo).read_bytes()
        assert "b.png" not in packed.namelist()
        assert b"photos('a.png')" in packed.read("reproduce.py")


@pytest.mark.slow
def test_a_photo_may_be_named_as_a_file_of_the_zip(kept: HistoryEntry, tmp_path: Path) -> None:
    files = tuple((str(tmp_path / name),) for name in ("figure.png", "mm-diff-0.png"))
    for (file,) in files:
        Image.new("RGB", (4, 4), "orange").save(file)
    with zipfile.ZipFile(io.BytesIO(replace(kept, photos=photo_names(files), files=files).zipped("text"))) as packed:
        names = packed.namelist()
        assert len(names) == len(set(names))
        assert packed.read("photos/1-figure.png") == Path(files[0][0]).read_bytes()
        assert packed.read("mm-diff-0.png") != Path(files[1][0]).read_bytes()


def test_the_animation_has_a_frame_a_step_and_the_picture(kept: HistoryEntry) -> None:
    with Image.open(io.BytesIO(kept.animation("image", "webp"))) as moving:
        assert (moving.format, moving.n_frames) == ("WEBP", 4)


def test_the_shelf_forgets_the_oldest(kept: HistoryEntry) -> None:
    history = History(Limits(history_pictures=3))
    for number in range(4):
        history.add(str(number), kept)
    assert history.get("1") is kept
    with pytest.raises(PhotoError, match="no longer kept"):
        history.get("0")


def test_the_shelf_carries_only_so_much(kept: HistoryEntry) -> None:
    heavy = replace(kept, picture=replace(kept.picture, maps=_heavy(kept)))
    history = History(Limits(history_mb=1))
    for number in range(3):
        history.add(str(number), heavy)
    with pytest.raises(PhotoError):
        history.get("1")
    assert history.get("2") is heavy  # the newest stays whatever it weighs


def _heavy(kept: HistoryEntry) -> AttentionMaps:
    record = StepMaps(0, "mid_block", (600, 600), {"text": torch.zeros(2, 600, 600, dtype=torch.float16)})
    assert kept.picture.maps is not None
    return AttentionMaps(kept.picture.maps.subjects, (record,))


def test_a_picture_without_maps_weighs_nothing(kept: HistoryEntry) -> None:
    assert kept.map_bytes > 0
    assert replace(kept, picture=replace(kept.picture, maps=None)).map_bytes == 0


@pytest.mark.parametrize("wish", ["/etc/passwd", None, 3, ["image"]])
def test_what_a_page_asks_for_is_one_of_few_words(wish: object) -> None:
    with pytest.raises(SettingsError, match="one of"):
        map_kind(wish)
    with pytest.raises(SettingsError, match="one of"):
        animation_format(wish)
    with pytest.raises(PhotoError):
        History().get(wish)
