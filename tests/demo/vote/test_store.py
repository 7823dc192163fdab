"""Votes: where they are kept, what is asked, what they add up to."""

from __future__ import annotations

import csv
import sqlite3
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from demo.compare.variants import VariantLabel
from demo.vote.store import Vote, VoteStore, as_csv, tally, variant_key, variant_labels, votes_file
from mmdiff_core.errors import SettingsError


def _vote(choice: Any = "first", question: str = "better", first: str = "a", second: str = "b") -> Vote:
    return Vote("2026-01-01T00:00:00+00:00", "toybox", question, first, second, choice, "first")


# ---------------------------------------------------------------- where


def test_votes_are_kept_in_the_user_s_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert votes_file(None, environment={"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "mmdiff-studio/votes.sqlite3"
    assert votes_file("mine.db", environment={"MMDIFF_VOTES": "other.db"}) == Path("mine.db")
    assert votes_file(None, environment={"MMDIFF_VOTES": "other.db"}) == Path("other.db")
    assert votes_file("off", environment={}) is None
    assert votes_file(None, hosted=True, environment={}) is None


def test_a_space_keeps_none_unless_it_is_told_to() -> None:
    space = {"SPACE_ID": "somebody/studio"}
    assert votes_file(None, environment=space) is None
    assert votes_file(None, environment=space | {"MMDIFF_VOTES": "off"}) is None
    assert votes_file(None, environment=space | {"MMDIFF_VOTES": "/data/votes.db"}) == Path("/data/votes.db")
    assert votes_file("/data/votes.db", environment=space) == Path("/data/votes.db")


def test_answers_survive_and_can_be_deleted(tmp_path: Path) -> None:
    box = VoteStore(tmp_path / "deep" / "votes.db")
    assert box.all() == []
    assert not box.path.exists()  # looking makes no file
    box.put([_vote("first"), _vote("neither")])
    VoteStore(box.path).put([_vote("second")])
    assert [vote.choice for vote in VoteStore(box.path).all()] == ["first", "neither", "second"]
    box.clear()
    assert box.all() == []


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "votes.db"
    path.write_text("this is not a database, but long enough to look like a file of one" * 40)
    with pytest.raises(SettingsError, match=r"votes\.db cannot be read or written"):
        VoteStore(path).all()


def test_a_folder_that_cannot_be_made_is_told_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match=r"votes\.db cannot be read or written") as caught:
        VoteStore(tmp_path / "file" / "folder" / "votes.db").put([_vote()])
    assert str(tmp_path) not in str(caught.value)


# ---------------------------------------------------------------- what they add up to


def test_the_interval_is_wilson_s() -> None:
    votes = [_vote("first")] * 8 + [_vote("second")] * 2 + [_vote("neither")] * 3
    (entry,) = tally(votes)
    assert (entry.wins, entry.losses, entry.ties) == (8, 2, 3)
    assert entry.share.mean == 0.8
    assert entry.share.low == pytest.approx(0.4902, abs=1e-4)
    assert entry.share.high == pytest.approx(0.9433, abs=1e-4)


def test_questions_and_pairs_are_counted_apart() -> None:
    votes = [_vote("first", "text"), _vote("second", "better"), _vote("first", "better", "a", "c")]
    assert [(entry.second, entry.question, entry.wins) for entry in tally(votes)] == [
        ("b", "text", 1),
        ("b", "better", 0),
        ("c", "better", 1),
    ]
    assert tally([]) == []


def test_models_are_counted_apart() -> None:
    votes = [_vote("first"), replace(_vote("second"), model="other")]
    assert [(entry.model, entry.wins, entry.losses) for entry in tally(votes)] == [
        ("other", 0, 1),
        (votes[0].model, 1, 0),
    ]


def test_the_csv_has_a_line_per_answer() -> None:
    lines = list(csv.DictReader(as_csv([_vote("second", "text")]).splitlines()))
    assert len(lines) == 1
    assert (lines[0]["question"], lines[0]["first"], lines[0]["choice"]) == ("text", "a", "second")


def test_a_variant_is_written_without_seed_and_names() -> None:
    labels = [VariantLabel("without_subject", "my aunt"), VariantLabel("strength", "0.5"), VariantLabel("seed", "7")]
    assert variant_key(labels) == "without_one_subject;strength=0.5"
    assert variant_labels(variant_key(labels)) == [VariantLabel("without_one_subject"), VariantLabel("strength", "0.5")]


# ---------------------------------------------------------------- the tab


def test_many_people_write_one_file(tmp_path: Path) -> None:
    box = VoteStore(tmp_path / "votes.db")
    box.put([_vote()])
    with sqlite3.connect(box.path) as other:
        rows = other.execute("SELECT first, second, choice FROM votes").fetchall()
    other.close()
    assert rows == [("a", "b", "first")]
    for number, _ in pairwise(range(4)):
        VoteStore(box.path).put([_vote(question=str(number))])
    assert len(box.all()) == 4
