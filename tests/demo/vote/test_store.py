"""Votes: where they are kept, what is asked, what they add up to."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from demo.compare.grid import Comparison, ComparisonCell
from demo.compare.tab import CompareTab
from demo.compare.variants import FormRequest, RequestVariant, VariantLabel, VariantTable
from demo.form.form import Form, SubjectForm
from demo.page import build_ui
from demo.studio.tab import StudioTab
from demo.vote.pairs import BallotState, BlindPair, pairs_of, votes_on
from demo.vote.store import Vote, VoteStore, as_csv, tally, variant_key, variant_labels, votes_file
from demo.vote.tab import VoteTab
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import GenerateRequest
from tests.helpers.stand_in import StandIn

FORM = Form("a cat", (SubjectForm(0, "cat", ()),))
CASE = FormRequest(FORM, GenerateRequest("a cat"))


def _comparison(columns: list[VariantLabel], seeds: list[int], folder: Path, against_first: bool = False) -> Comparison:
    """Pictures of these variants with each of the seeds."""
    comparison = Comparison()
    comparison.begin(VariantTable("parts", "seed", tuple(columns), (), (), against_first), FORM)
    for row, seed in enumerate(seeds):
        for column, label in enumerate(columns):
            name = f"{label.key}{label.value}-{seed}"
            path = folder / f"{name}.png"
            Image.new("RGB", (8, 8), (column * 40, seed, 0)).save(path)
            variant = RequestVariant(column, row, (label, VariantLabel("seed", str(seed))), CASE)
            comparison.cells[name] = ComparisonCell(variant, seed, {"name": name, "image": {"path": str(path)}})
    return comparison


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


def test_visitors_of_a_hosted_page_cannot_delete_the_answers() -> None:
    def deleting(hosted: bool) -> int:
        page = build_ui(StandIn(), votes=Path("votes.db"), hosted=hosted)  # type: ignore[arg-type]
        return sum(name == "reset" for function in page.fns.values() for _, name in function.targets)

    assert (deleting(False), deleting(True)) == (1, 0)


def test_the_csv_has_a_line_per_answer() -> None:
    lines = list(csv.DictReader(as_csv([_vote("second", "text")]).splitlines()))
    assert len(lines) == 1
    assert (lines[0]["question"], lines[0]["first"], lines[0]["choice"]) == ("text", "a", "second")


def test_a_variant_is_written_without_seed_and_names() -> None:
    labels = [VariantLabel("without_subject", "my aunt"), VariantLabel("strength", "0.5"), VariantLabel("seed", "7")]
    assert variant_key(labels) == "without_one_subject;strength=0.5"
    assert variant_labels(variant_key(labels)) == [VariantLabel("without_one_subject"), VariantLabel("strength", "0.5")]


# ---------------------------------------------------------------- pairs


def test_pairs_share_the_seed_and_differ_in_something(tmp_path: Path) -> None:
    grid = _comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1, 2], tmp_path)
    pairs = pairs_of(grid)
    assert len(pairs) == 3 + 3
    assert all(grid.cells[one].seed == grid.cells[other].seed for one, other in pairs)
    columns = [VariantLabel("as_composed"), VariantLabel("without_refiner"), VariantLabel("without_null_token")]
    assert pairs_of(_comparison(columns, [1], tmp_path, against_first=True)) == [
        ("as_composed-1", "without_refiner-1"),
        ("as_composed-1", "without_null_token-1"),
    ]


def test_sides_are_by_chance_and_every_pair_comes_once(tmp_path: Path) -> None:
    comparison = _comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1], tmp_path)
    chance, firsts = random.Random(1), set()
    for _ in range(20):
        ballot, seen = BallotState(), []
        while pair := ballot.draw(comparison, chance):
            assert ballot.draw(comparison, chance) == pair  # it stays until it is done with
            seen.append(frozenset((pair.left, pair.right)))
            firsts.add((pair.left, pair.right))
            ballot.close()
        assert len(seen) == len(set(seen)) == 3
    assert len(firsts) == 6
    comparison.run = "another"
    assert ballot.draw(comparison, chance) is not None


@pytest.mark.parametrize("names", [("as_composed-1", "without_refiner-1"), ("without_refiner-1", "as_composed-1")])
def test_an_answer_names_the_variant_not_the_side(tmp_path: Path, names: tuple[str, str]) -> None:
    comparison = _comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    side = "left" if names[0].startswith("as") else "right"
    answers = {"subject": side, "better": "neither"}
    subject, better = votes_on(BlindPair(*names), comparison, answers, "toybox")
    assert (subject.first, subject.second, subject.choice) == ("as_composed", "without_refiner", "first")
    assert better.choice == "neither"
    assert subject.left_side == ("first" if side == "left" else "second")


@pytest.mark.parametrize("answers", [{}, None, "left", {"better": "up"}, {"price": "left"}])
def test_what_no_page_can_answer_is_refused(tmp_path: Path, answers: object) -> None:
    comparison = _comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    with pytest.raises(SettingsError):
        votes_on(BlindPair(*comparison.cells), comparison, answers, "toybox")


# ---------------------------------------------------------------- the tab


@pytest.fixture
def tab(tmp_path: Path) -> VoteTab:
    model = StandIn()
    compare = CompareTab(model, StudioTab(model))  # type: ignore[arg-type]
    tab = VoteTab(model, compare, tmp_path / "votes.db")  # type: ignore[arg-type]
    with gr.Blocks():
        tab.render()
    return tab


def test_the_page_is_not_told_which_is_which(tab: VoteTab, tmp_path: Path) -> None:
    comparison = _comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    shown = tab._show(BallotState(), comparison)
    assert [picture["orig_name"] for picture in shown["pictures"]] == ["left.png", "right.png"]
    assert "refiner" not in json.dumps(shown)
    with Image.open(shown["pictures"][0]["path"]) as picture:
        assert picture.info == {}
    assert (shown["left"], shown["votes"], shown["tally"]) == (1, 0, [])


def test_an_answer_brings_the_next_pair(tab: VoteTab, tmp_path: Path) -> None:
    comparison = _comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1], tmp_path)
    ballot, given = BallotState(), {"better": "left", "text": "neither"}
    first = tab._show(ballot, comparison)
    event = gr.EventData(None, {"pair": first["pair"], "answers": given})
    second = tab._vote(ballot, comparison, event)
    assert second["pair"] != first["pair"]
    assert (second["left"], second["votes"]) == (2, 2)
    again = tab._vote(ballot, comparison, event)  # an answer to a pair that is gone does not count
    assert (again["pair"], again["votes"]) == (second["pair"], 2)
    third = tab._skip(ballot, comparison)
    assert (third["left"], third["votes"]) == (1, 2)
    last = tab._skip(ballot, comparison)
    assert (last["pair"], last["compared"]) == (None, True)
    text = Path(tab._export()["file"]["path"]).read_text()
    assert text.count("\n") == 3
    assert tab._reset(ballot, comparison)["votes"] == 0
    assert tab.box.all() == []


def test_without_a_comparison_there_is_nothing_to_ask(tab: VoteTab) -> None:
    shown = tab._show(BallotState(), Comparison())
    assert (shown["pair"], shown["compared"], shown["left"]) == (None, False, 0)


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
