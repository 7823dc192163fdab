"""Annotated folders: every record once in an epoch, other photos of an identity, damage told and survived."""

from __future__ import annotations

import json
import logging
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.errors import TrainingError
from mmdiff_core.training.annotated.folder import (
    AnnotatedFolder,
    ShuffledRecords,
    cut_out,
    open_cut_out,
    split_for_validation,
)
from tests.helpers import annotated, tiny


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return annotated.folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def own(rendered: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(rendered, tmp_path / "own")


def stems(path: Path) -> list[Path]:
    return [file.with_suffix("") for file in sorted(path.rglob("*.json"))]


def set_identity(stem: Path, name: str, segment: int = 0) -> None:
    values = json.loads(stem.with_suffix(".json").read_text())
    values["segments"][segment]["identity"] = name
    stem.with_suffix(".json").write_text(json.dumps(values))


def test_every_segment_is_in_the_mask_where_its_box_is(rendered: Path) -> None:
    folder = AnnotatedFolder(rendered)
    assert len(folder) == annotated.IMAGES
    for index in range(len(folder)):
        record = folder.read(index)
        assert record.image.size == record.mask.shape[::-1]
        for segment in record.annotation.segments:
            rows, columns = np.nonzero(record.mask == segment.id)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == segment.box


def test_a_mask_of_the_official_tool_is_taken(own: Path) -> None:
    stem = stems(own)[0]
    before = AnnotatedFolder(own).read(0).mask
    np.save(stem.with_suffix(".npy"), before.astype(np.float32))
    stem.with_suffix(".png").unlink()
    assert np.array_equal(AnnotatedFolder(own).read(0).mask, before)


def test_other_photos_of_an_identity_come_from_other_images(own: Path) -> None:
    for stem in stems(own)[:3]:
        set_identity(stem, "tom")
    folder = AnnotatedFolder(own)
    record = folder.read(0)
    first = record.annotation.segments[0].id
    assert len(record.photos[first]) == 2
    for index, photo in zip((1, 2), record.photos[first], strict=True):
        other = folder.read(index)
        assert photo == cut_out(other.image, other.mask, other.annotation.segments[0])
    drawn = folder.read(0, random.Random(1)).photos[first]
    assert {photo.tobytes() for photo in drawn} == {photo.tobytes() for photo in record.photos[first]}


def test_held_out_images_are_nobody_s_photos(own: Path) -> None:
    for stem in stems(own)[:3]:
        set_identity(stem, "tom")
    folder = AnnotatedFolder(own)
    folder.held_out = frozenset({2})
    first = folder.annotations[0].segments[0].id
    other = folder.read(1)
    assert folder.read(0).photos[first] == (cut_out(other.image, other.mask, other.annotation.segments[0]),)
    assert len(folder.read(2).photos[folder.annotations[2].segments[0].id]) == 2  # which may see the others


def test_photos_in_the_identity_folder_count_too(own: Path) -> None:
    set_identity(stems(own)[0], "tom")
    extra = own / "identities" / "tom"
    extra.mkdir(parents=True)
    tiny.photo(1).save(extra / "a.png")
    layered = tiny.photo(2).convert("RGBA")
    layered.putalpha(Image.new("L", layered.size, 9))
    layered.save(extra / "b.png")
    folder = AnnotatedFolder(own)
    opaque, clear = folder.read(0).photos[folder.annotations[0].segments[0].id]
    assert opaque.getchannel("A").getextrema() == (255, 255)
    assert clear.getchannel("A").getextrema() == (9, 9)
    assert len(AnnotatedFolder(own, max_others=1).read(0).photos[folder.annotations[0].segments[0].id]) == 1


def test_cut_outs_keep_what_is_behind_them(rendered: Path) -> None:
    record = AnnotatedFolder(rendered).read(0)
    segment = record.annotation.segments[0]
    cut = cut_out(record.image, record.mask, segment)
    assert (np.asarray(cut.getchannel("A")) > 0).sum() == (record.mask == segment.id).sum()
    behind = np.asarray(cut.convert("RGB"))[np.asarray(cut.getchannel("A")) == 0]
    assert behind.std() > 0


def test_a_photo_without_transparency_is_all_subject(tmp_path: Path) -> None:
    tiny.photo(0).save(tmp_path / "x.jpg")
    assert open_cut_out(tmp_path / "x.jpg").getchannel("A").getextrema() == (255, 255)


def test_every_record_once_an_epoch_in_another_order(rendered: Path) -> None:
    order = ShuffledRecords(AnnotatedFolder(rendered), seed=1)
    epochs = [[sample.annotation.image_id for _, sample in order.batch(draw, annotated.IMAGES)] for draw in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(stem.name for stem in stems(rendered))
    assert epochs[0] != epochs[1]


def test_two_processes_see_together_what_one_sees(rendered: Path) -> None:
    folder = AnnotatedFolder(rendered)
    alone = ShuffledRecords(folder, seed=2)
    pair = [ShuffledRecords(folder, seed=2, rank=rank, world_size=2) for rank in (0, 1)]
    for draw in range(3):
        one = [(number, s.annotation.image_id) for number, s in alone.batch(draw, 4)]
        two = [(number, s.annotation.image_id) for half in pair for number, s in half.batch(draw, 2)]
        assert one == two


def test_validation_stays_when_the_folder_grows(own: Path) -> None:
    train, kept = split_for_validation(AnnotatedFolder(own), 0.34, 64)
    assert sorted(train + kept) == list(range(annotated.IMAGES))
    assert len(kept) == 2
    folder = AnnotatedFolder(own)
    names = {folder.stems[index].name for index in kept}
    stem = stems(own)[0]
    for ending in (".json", ".png", ".jpg"):
        shutil.copy(stem.with_suffix(ending), own / f"new{ending}")
    grown = AnnotatedFolder(own)
    again = {grown.stems[index].name for index in split_for_validation(grown, 0.5, 64)[1]}
    assert names <= again | {"new"}


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least two"):
        split_for_validation(AnnotatedFolder(annotated.folder(tmp_path, 1)), 0.1, 64)


def test_faulty_annotations_are_told_and_left_out(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third, *_ = stems(own)
    first.with_suffix(".json").write_text("{}")
    second.with_suffix(".png").unlink()
    third.with_suffix(".jpg").unlink()
    assert len(AnnotatedFolder(own)) == annotated.IMAGES - 3
    for told in ("segments", "no mask", "no image"):
        assert told in caplog.text


def test_a_damaged_image_is_replaced(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = stems(own)[2]
    broken.with_suffix(".jpg").write_bytes(b"\xff\xd8 broken")
    caplog.set_level(logging.WARNING)
    drawn = ShuffledRecords(AnnotatedFolder(own), seed=0).batch(0, annotated.IMAGES)
    assert broken.name not in [sample.annotation.image_id for _, sample in drawn]
    assert len(drawn) == annotated.IMAGES
    assert broken.name in caplog.text


def test_image_and_mask_must_agree_in_size(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    for stem in stems(own):
        Image.new("L", (3, 3)).save(stem.with_suffix(".png"))
    with pytest.raises(TrainingError, match="No image of"):
        ShuffledRecords(AnnotatedFolder(own), seed=0).batch(0, 1)
    assert "3 x 3" in caplog.text


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="annotate"):
        AnnotatedFolder(tmp_path)
