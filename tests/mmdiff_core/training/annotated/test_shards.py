"""WebDataset shards: nothing is lost in packing, and a stream goes on anywhere as if it had never stopped."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mmdiff_core.cli.main import main
from mmdiff_core.errors import TrainingError
from mmdiff_core.training.annotated import shards
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.shards import (
    ShardedRecords,
    _open_or_tell,
    count_samples,
    find_shards,
    open_sample,
    pack,
    read_shard,
)
from mmdiff_core.types import Face
from tests.helpers import annotated, tiny

PICTURES = 9
PER_SHARD = 2


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every first segment is the same toy, with a face."""
    path = annotated.folder(tmp_path_factory.mktemp("data"), PICTURES)
    for file in path.rglob("*.json"):
        values = json.loads(file.read_text())
        segment = values["segments"][0]
        segment |= {"identity": "tom", "face": [float(file.stem)] * 512}
        file.write_text(json.dumps(values))
        tiny.photo(int(file.stem), (16, 16)).save(file.with_name(f"{file.stem}.face{segment['id']}.png"))
    return path


@pytest.fixture(scope="module")
def packed(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    pack(AnnotatedFolder(rendered), out, PER_SHARD)
    return out


def names(shard: ShardedRecords, draws: range, count: int = 2) -> list[tuple[int, str]]:
    return [(number, s.annotation.image_id) for draw in draws for number, s in shard.draw(draw, count)]


def test_packing_loses_nothing(rendered: Path, packed: Path) -> None:
    folder = AnnotatedFolder(rendered)
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


def test_an_epoch_has_every_sample_once_and_the_next_in_another_order(packed: Path) -> None:
    stream = ShardedRecords(find_shards(str(packed)), seed=1)
    first = [name for _, name in names(stream, range(PICTURES), 1)]
    second = [name for _, name in names(stream, range(PICTURES, 2 * PICTURES), 1)]
    assert len(set(first)) == PICTURES
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("start", [1, 3, 5, 11])
def test_a_stream_goes_on_anywhere(packed: Path, start: int) -> None:
    urls = find_shards(str(packed))
    unbroken = names(ShardedRecords(urls, seed=3), range(start + 3))
    assert names(ShardedRecords(urls, seed=3), range(start, start + 3)) == unbroken[2 * start :]


def test_a_remote_stream_goes_on_as_a_local_one_does(packed: Path) -> None:
    """Without a table of files that can be read by itself."""
    urls = find_shards(str(packed))
    piped = [f"pipe:cat {url}" for url in urls]
    for start in (0, 4):
        local, remote = (names(ShardedRecords(which, seed=3), range(start, start + 2)) for which in (urls, piped))
        assert len(remote) == len(local) == 4
    assert names(ShardedRecords(piped, seed=3), range(5))[8:] == names(ShardedRecords(piped, seed=3), range(4, 5))


def test_processes_read_different_shards(packed: Path) -> None:
    urls = find_shards(str(packed))
    halves = [names(ShardedRecords(urls, seed=2, rank=rank, world=2), range(1), 3) for rank in (0, 1)]
    assert not {name for _, name in halves[0]} & {name for _, name in halves[1]}
    numbers = [number for half in halves for number, _ in half]
    assert len(set(numbers)) == len(numbers)


def test_the_buffer_mixes_within_a_shard(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BUFFER", 3)
    (url,) = map(str, pack(AnnotatedFolder(rendered), tmp_path, per_shard=100))
    orders = [[name for _, name in names(ShardedRecords([url], seed=seed), range(PICTURES), 1)] for seed in (0, 1)]
    stored = [json.loads(sample["json"])["image_id"] for sample in read_shard(url)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(stored)
    assert len({tuple(order) for order in (*orders, stored)}) == 3


def test_a_pattern_is_expanded(packed: Path) -> None:
    assert find_shards(f"{packed}/{{00000..00004}}.tar") == find_shards(str(packed))
    with pytest.raises(TrainingError, match="is not there"):
        find_shards(f"{packed}/{{00000..00009}}.tar")


def test_more_processes_than_shards_is_said(packed: Path) -> None:
    with pytest.raises(TrainingError, match="cannot feed 9 processes"):
        ShardedRecords(find_shards(str(packed)), seed=0, world=9)


def test_a_shard_that_was_cut_off_is_named(packed: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.tar"
    short.write_bytes((packed / "00000.tar").read_bytes()[:3000])
    with pytest.raises(TrainingError, match=r"short\.tar"):
        list(itertools.islice(read_shard(str(short)), 5))


def test_a_damaged_sample_is_stood_in_for(rendered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    (url,) = map(str, pack(AnnotatedFolder(data), tmp_path / "shards", per_shard=100))
    with tarfile.open(url) as tar, tarfile.open(tmp_path / "broken.tar", "w") as broken:
        for member in tar:
            if not (member.name.startswith("000000004") and member.name.endswith("jpg")):
                broken.addfile(member, tar.extractfile(member))
    caplog.set_level(logging.WARNING)
    drawn = [name for _, name in names(ShardedRecords([str(tmp_path / "broken.tar")], seed=0), range(PICTURES), 1)]
    assert "000000004" in caplog.text
    assert len(set(drawn)) == PICTURES - 1


@pytest.mark.parametrize("damaged", range(4))
def test_a_stream_with_a_damaged_sample_goes_on_anywhere(
    damaged: int, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of an epoch, too, and whichever place the damaged one has in it."""
    (url,) = find_shards(str(packed))[:1]
    samples = [{"__key__": key} for key in "abcd"]
    monkeypatch.setattr(shards, "read_shard", lambda url: iter(samples))
    monkeypatch.setattr(shards, "count_samples", lambda url: len(samples))
    monkeypatch.setattr(shards, "_open_or_tell", lambda s: None if s is samples[damaged] else s["__key__"])
    unbroken = [sample for _, sample in ShardedRecords([url], seed=3).draw(0, 12)]
    assert set(unbroken) == set("abcd") - {"abcd"[damaged]}
    for place in range(1, 9):
        assert ShardedRecords([url], seed=3).draw(place, 1) == [(place, unbroken[place])]


def test_shards_without_a_usable_sample_are_said(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_open_or_tell", lambda sample: None)
    for draw in (0, 4):
        with pytest.raises(TrainingError, match="no usable sample"):
            ShardedRecords(find_shards(str(packed)), seed=0).draw(draw, 1)


@pytest.mark.parametrize("prefix", ["./", "v1.2/"])
def test_samples_are_counted_by_their_keys(prefix: str, packed: Path, tmp_path: Path) -> None:
    """As they are read, whatever the folder in front of them is called."""
    source = find_shards(str(packed))[0]
    with tarfile.open(source) as tar, tarfile.open(tmp_path / "other.tar", "w") as other:
        for member in tar:
            data = tar.extractfile(member)
            member.name = prefix + member.name
            other.addfile(member, data)
    url = str(tmp_path / "other.tar")
    assert count_samples(url) == sum(1 for _ in read_shard(url)) == PER_SHARD


def test_packing_mixes_with_no_earlier_shards(rendered: Path, packed: Path) -> None:
    with pytest.raises(TrainingError, match=r"shards in .* already"):
        pack(AnnotatedFolder(rendered), packed, PER_SHARD)
    assert len(find_shards(str(packed))) == 5


def test_nothing_to_pack_is_said(rendered: Path, tmp_path: Path) -> None:
    data = shutil.copytree(rendered, tmp_path / "data")
    folder = AnnotatedFolder(data)
    for picture in data.rglob("*.jpg"):
        picture.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="nothing was packed"):
        pack(folder, tmp_path / "shards")
    assert list((tmp_path / "shards").iterdir()) == []


@pytest.mark.parametrize(
    ("ending", "data"),
    [("photo1-0.webp", b"no picture"), ("face1-1.json", None), ("face1-0.json", b"[0.1, "), ("face1-0.json", b"7")],
)
def test_a_damaged_extra_is_stood_in_for(
    ending: str, data: bytes | None, packed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sample = dict(next(read_shard(find_shards(str(packed))[0])))
    assert ending in sample
    sample |= {ending: data}
    if data is None:
        del sample[ending]
    assert _open_or_tell(sample) is None
    assert sample["__key__"] in caplog.text


def test_pack_from_the_shell(rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["pack", str(rendered), "--out", str(tmp_path), "--per-shard", "5"]) == 0
    assert "2 shard(s)" in capsys.readouterr().out
    assert len(find_shards(str(tmp_path))) == 2
