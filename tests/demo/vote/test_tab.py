"""The Vote tab: what its events answer."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from demo.compare.grid import Comparison
from demo.compare.variants import VariantLabel
from demo.page import build_ui
from demo.vote.pairs import BallotState
from demo.vote.tab import VoteTab
from tests.helpers.stand_in import StandIn
from tests.helpers.votes import finished_comparison


def test_visitors_of_a_hosted_page_cannot_delete_the_answers() -> None:
    def deleting(hosted: bool) -> int:
        page = build_ui(StandIn(), votes=Path("votes.db"), hosted=hosted)  # type: ignore[arg-type]
        return sum(name == "reset" for function in page.fns.values() for _, name in function.targets)

    assert (deleting(False), deleting(True)) == (1, 0)


def test_an_answer_brings_the_next_pair(tab: VoteTab, tmp_path: Path) -> None:
    comparison = finished_comparison([VariantLabel("strength", value) for value in ("0.5", "1", "1.5")], [1], tmp_path)
    ballot, given = BallotState(), {"better": "left", "text": "neither"}
    first = tab._show(ballot, comparison)
    event = gr.EventData(None, {"pair": first["pair"], "answers": given})
    second = tab._vote(ballot, comparison, event)
    assert second["pair"] != first["pair"]
    assert (second["left"], second["votes"]) == (2, 2)
    again = tab._vote(ballot, comparison, event)  # an answer to a pair that is gone does not count
    assert (again["pair"], again["votes"]) == (second["pair"], 2)
    assert [first["answered"], len(second["answered"])] == [[], 2]
    third = tab._skip(ballot, comparison)
    assert third["answered"] == []
    assert (third["left"], third["votes"]) == (2, 2)
    assert third["pair"] != second["pair"]
    later = tab._skip(ballot, comparison)  # what was put aside, under a name of its own
    assert later["pair"] not in (first["pair"], second["pair"], third["pair"])
    for shown in (later, None):
        shown = shown or tab._show(ballot, comparison)
        last = tab._vote(ballot, comparison, gr.EventData(None, {"pair": shown["pair"], "answers": given}))
    assert (last["pair"], last["compared"]) == (None, True)
    text = Path(tab._export()["file"]["path"]).read_text()
    assert text.count("\n") == 7
    assert tab._reset(ballot, comparison)["votes"] == 0
    assert tab.box.all() == []


def test_without_a_comparison_there_is_nothing_to_ask(tab: VoteTab) -> None:
    shown = tab._show(BallotState(), Comparison())
    assert (shown["pair"], shown["compared"], shown["left"]) == (None, False, 0)


def test_a_pair_is_told_only_after_the_vote(tab: VoteTab, tmp_path: Path) -> None:
    """With the names of left and right as they stood on the page, and without settings inside the files."""
    comparison = finished_comparison([VariantLabel("strength", value) for value in ("0.5", "1")], [1], tmp_path)
    ballot = BallotState()
    asked = tab._show(ballot, comparison)
    assert "strength" not in repr(asked)
    pair = ballot.pair
    assert pair is not None
    told = tab._vote(ballot, comparison, gr.EventData(None, {"pair": asked["pair"], "answers": {"better": "left"}}))
    labels = [[list(label) for label in comparison.get(name).variant.labels] for name in (pair.left, pair.right)]
    assert [each["labels"] for each in told["answered"]] == labels
    assert [each["picture"] for each in told["answered"]] == asked["pictures"]
    assert tab._show(ballot, Comparison())["answered"] == []
