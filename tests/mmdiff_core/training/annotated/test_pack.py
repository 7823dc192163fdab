"""Packing: nothing is lost, and nothing is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mmdiff_core.cli.main import main
from mmdiff_core.errors import TrainingError
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.pack import pack
from mmdiff_core.training.annotated.shards import find_shards, open_sample, read_shard
from mmdiff_core.types import Face
from tests.helpers.annotated import PER_SHARD


def test_packing_loses_nothing(tom_folder: Path, packed: Path) -> None:
    folder = AnnotatedFolder(tom_folder)
    whole = {record.annotation.image_id: record for record in map(folder.read, range(len(folder)))}
    seen = [open_sample(sample) for url in find_shards(str(packed)) for sample in read_shard(url)]
    assert sorted(s.annotation.image_id for s in seen) == sorted(whole)
    for sample in seen:
        record = whole[sample.annotation.image_id]
        assert sample.annotation == record.annotation
        assert np.array_equal(sample.mask, record.mask)
        first = record.annotation.segments[0].id
        assert len(sample.photos[first]) == len(record.photos[first]) == 3
        own, *others = sample.faces[first]
        assert own == record.faces[first][0]
        assert len(others) == 3
        assert all(isinstance(face, Face) and face.embedding != own.embedding for face in others)


def test_the_photos_of_a_sample_keep_their_transparency(packed: Path) -> None:
    sample = open_sample(next(read_shard(find_shards(str(packed))[0])))
    photo = next(iter(sample.photos.values()))[0]
    alpha = np.asarray(photo.getchannel("A"))
    assert alpha.min() == 0
    assert alpha.max() == 255
    assert np.asarray(photo.convert("RGB"))[alpha == 0].std() > 0


def test_packing_mixes_with_no_earlier_shards(tom_folder: Path, packed: Path) -> None:
    with pytest.raises(TrainingError, match=r"shards in .* already"):
        pack(AnnotatedFolder(tom_folder), packed, PER_SHARD)
    assert len(find_shards(str(packed))) == 5


def test_nothing_to_pack_is_said(tom_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tom_folder, tmp_path / "data")
    folder = AnnotatedFolder(data)
    for picture in data.rglob("*.jpg"):
        picture.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="nothing was packed"):
        pack(folder, tmp_path / "shards")
    assert list((tmp_path / "shards").iterdir()) == []


def test_pack_from_the_shell(tom_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["pack", str(tom_folder), "--out", str(tmp_path), "--per-shard", "5"]) == 0
    assert "2 shard(s)" in capsys.readouterr().out
    assert len(find_shards(str(tmp_path))) == 2
