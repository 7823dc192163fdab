"""WebDataset shards: nothing is lost in packing, and a stream goes on anywhere as if it had never stopped."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
import tarfile
from pathlib import Path

import pytest

from mmdiff_core.errors import TrainingError
from mmdiff_core.training.annotated import shards
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.pack import pack
from mmdiff_core.training.annotated.shards import (
    ShardedRecords,
    _open_or_log,
    count_samples,
    find_shards,
    read_shard,
)
from tests.helpers.annotated import IN_SHARDS, PER_SHARD


def names(shard: ShardedRecords, draws: range, count: int = 2) -> list[tuple[int, str]]:
    return [(number, s.annotation.image_id) for draw in draws for number, s in shard.batch(draw, count)]


def test_an_epoch_has_every_sample_once_and_the_next_in_another_order(packed: Path) -> None:
    stream = ShardedRecords(find_shards(str(packed)), seed=1)
    first = [name for _, name in names(stream, range(IN_SHARDS), 1)]
    second = [name for _, name in names(stream, range(IN_SHARDS, 2 * IN_SHARDS), 1)]
    assert len(set(first)) == IN_SHARDS
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
    halves = [names(ShardedRecords(urls, seed=2, rank=rank, world_size=2), range(1), 3) for rank in (0, 1)]
    assert not {name for _, name in halves[0]} & {name for _, name in halves[1]}
    numbers = [number for half in halves for number, _ in half]
    assert len(set(numbers)) == len(numbers)


def test_the_buffer_mixes_within_a_shard(tom_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BUFFER", 3)
    (url,) = map(str, pack(AnnotatedFolder(tom_folder), tmp_path, per_shard=100))
    orders = [[name for _, name in names(ShardedRecords([url], seed=seed), range(IN_SHARDS), 1)] for seed in (0, 1)]
    stored = [json.loads(sample["json"])["image_id"] for sample in read_shard(url)]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(stored)
    assert len({tuple(order) for order in (*orders, stored)}) == 3


def test_a_pattern_is_expanded(packed: Path) -> None:
    assert find_shards(f"{packed}/{{00000..00004}}.tar") == find_shards(str(packed))
    with pytest.raises(TrainingError, match="is not there"):
        find_shards(f"{packed}/{{00000..00009}}.tar")


def test_more_processes_than_shards_is_said(packed: Path) -> None:
    with pytest.raises(TrainingError, match="cannot feed 9 processes"):
        ShardedRecords(find_shards(str(packed)), seed=0, world_size=9)


def test_a_shard_that_was_cut_off_is_named(packed: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.tar"
    short.write_bytes((packed / "00000.tar").read_bytes()[:3000])
    with pytest.raises(TrainingError, match=r"short\.tar"):
        list(itertools.islice(read_shard(str(short)), 5))


def test_a_damaged_sample_is_stood_in_for(tom_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = shutil.copytree(tom_folder, tmp_path / "data")
    (url,) = map(str, pack(AnnotatedFolder(data), tmp_path / "shards", per_shard=100))
    with tarfile.open(url) as tar, tarfile.open(tmp_path / "broken.tar", "w") as broken:
        for member in tar:
            if not (member.name.startswith("000000004") and member.name.endswith("jpg")):
                broken.addfile(member, tar.extractfile(member))
    caplog.set_level(logging.WARNING)
    drawn = [name for _, name in names(ShardedRecords([str(tmp_path / "broken.tar")], seed=0), range(IN_SHARDS), 1)]
    assert "000000004" in caplog.text
    assert len(set(drawn)) == IN_SHARDS - 1


@pytest.mark.parametrize("damaged", range(4))
def test_a_stream_with_a_damaged_sample_goes_on_anywhere(
    damaged: int, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of an epoch, too, and whichever place the damaged one has in it."""
    (url,) = find_shards(str(packed))[:1]
    samples = [{"__key__": key} for key in "abcd"]
    monkeypatch.setattr(shards, "read_shard", lambda url: iter(samples))
    monkeypatch.setattr(shards, "count_samples", lambda url: len(samples))
    monkeypatch.setattr(shards, "_open_or_log", lambda s: None if s is samples[damaged] else s["__key__"])
    unbroken = [sample for _, sample in ShardedRecords([url], seed=3).batch(0, 12)]
    assert set(unbroken) == set("abcd") - {"abcd"[damaged]}
    for place in range(1, 9):
        assert ShardedRecords([url], seed=3).batch(place, 1) == [(place, unbroken[place])]


def test_shards_without_a_usable_sample_are_said(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_open_or_log", lambda sample: None)
    for draw in (0, 4):
        with pytest.raises(TrainingError, match="no usable sample"):
            ShardedRecords(find_shards(str(packed)), seed=0).batch(draw, 1)


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
    assert _open_or_log(sample) is None
    assert sample["__key__"] in caplog.text
