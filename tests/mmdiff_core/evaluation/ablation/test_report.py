"""The report of an ablation: paired differences, and what follows from their intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdiff_core.evaluation.ablation.adapter_variants import FULL, VARIANTS
from mmdiff_core.evaluation.ablation.report import (
    BASE,
    MIN_IMAGES,
    SCORES,
    MeasuredVariant,
    ablation_markdown,
    conclusions,
    score_changes,
    write_ablation_report,
)
from mmdiff_core.evaluation.ablation.side_by_side import ImageTimes
from mmdiff_core.evaluation.toybox.report import summarise_toybox
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.referee.metrics import THRESHOLDS
from tests.helpers.markdown import cells


def scores(number: int, likeness: float, present: bool) -> ToyboxScores:
    curve = [0.5] * len(THRESHOLDS)
    return ToyboxScores(MODEL, 1, number, 0, "", [True], [], present, True, True, [True], [curve], [likeness])


def test_changes_are_paired() -> None:
    before = [scores(k, 0.1 * k, True) for k in range(8)]
    after = [scores(k, 0.1 * k + 0.05, k % 2 == 0) for k in range(8)]
    change = score_changes(before, [*after, scores(99, 0.0, False)])  # a prompt that only one has does not count
    assert change["subject"]["mean"] == pytest.approx(0.05)
    assert change["subject"]["low"] == pytest.approx(0.05)  # though the prompts differ far more among themselves
    assert change["text"]["mean"] == pytest.approx(-1 / 6, abs=1e-4)
    assert change["text"]["high"] < 0
    assert change["identity"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 8}


def of_two(number: int, swapped: list[bool], curve: list[float]) -> ToyboxScores:
    one = scores(number, 0.5, True)
    return ToyboxScores(**{**vars(one), "count": 2, "swapped": swapped, "curves": [curve, curve]})


def test_what_constraints_are_for_is_compared_too() -> None:
    """Swaps over the images that both found, IoU at the threshold that suits each variant."""
    low, high = ([0.6 if at == best else 0.1 for at in range(len(THRESHOLDS))] for best in (3, 9))
    before = [scores(0, 0.5, True), *(of_two(k, [False, False], low) for k in range(4))]
    after = [scores(0, 0.5, True), *(of_two(k, [True, False] if k else [], high) for k in range(4))]
    change = score_changes(before, after)
    assert change["apart"] == {"mean": -0.5, "low": -0.5, "high": -0.5, "n": 3}
    assert change["iou"]["mean"] == pytest.approx(0.0)
    assert change["iou"]["n"] == 5
    assert score_changes(before[:1], after[:1])["apart"] is None


def component(n: int = 200, **change: tuple[float, float]) -> dict:
    estimates = {
        name: {"mean": sum(ends) / 2, "low": ends[0], "high": ends[1], "n": n} for name, ends in change.items()
    }
    return {"title": "no null token", "group": "component", "change": estimates}


def test_conclusions_follow_from_the_intervals() -> None:
    falls, rises, nothing = (-0.2, -0.1), (0.1, 0.2), (-0.1, 0.1)
    lines = [
        conclusions({"x": component(subject=subject, text=text)})[0]
        for subject, text in ((falls, nothing), (falls, rises), (nothing, rises), (nothing, nothing))
    ]
    assert "earns its place here: without it subject fidelity fell" in lines[0]
    assert "a trade-off here: without it subject fidelity fell and text fidelity rose" in lines[1]
    assert "does not earn its place" in lines[2]
    assert "not shown to earn its place" in lines[3]
    assert conclusions({"x": {**component(subject=falls), "group": "rank"}}) == []
    assert "cannot be judged" in conclusions({"x": component(n=MIN_IMAGES - 1, subject=falls)})[0]


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    """Two variants with an image each of eight prompts, the second slightly worse."""
    measured = []
    for name, likeness in ((FULL, 0.6), ("no-null-token", 0.5)):
        rows = [scores(k, likeness, True) for k in range(8)]
        bounds = [ToyboxScores(**{**vars(row), "kind": kind}) for kind in (UPPER, LOWER) for row in rows[:2]]
        training = {"parameters": 12_345.0, "denoise": 0.1}
        measured.append(MeasuredVariant(VARIANTS[name], training, summarise_toybox([*rows, *bounds]), [*rows, *bounds]))
    times = {name: ImageTimes(0.5, 0.4, 0.6, 3) for name in (FULL, "no-null-token", BASE)}
    return write_ablation_report(measured, times, {"steps": 5}, tmp_path)


def test_the_table_has_every_variant_and_both_bounds(table: dict[str, Any], tmp_path: Path) -> None:
    written = json.loads((tmp_path / "ablation.json").read_text())
    assert written["variants"].keys() == table["variants"].keys() == {FULL, "no-null-token"}
    full, other = table["variants"].values()
    assert full["change"] == {}
    assert other["change"]["subject"]["mean"] == pytest.approx(-0.1)
    assert other["parameters"] == 12_345
    assert other["training"] == {"denoise": 0.1}
    assert table["upper"]["subject"]["n"] == table[BASE]["text"]["n"] == 2
    assert "seconds" not in table["upper"]


def test_the_markdown_has_three_tables(table: dict[str, Any], tmp_path: Path) -> None:
    text = (tmp_path / "ablation.md").read_text()
    assert text == ablation_markdown(table)
    printed = cells(text)
    titles = [row[0] for row in printed]
    assert titles.count("real renders") == titles.count("base model without photos") == 2
    whole = printed[titles.index("the whole method")]
    assert whole[1:4] == ["12,345", "0.50 (0.40 to 0.60)", "0.600 (0.600 to 0.600)"]
    change = printed[-1]
    assert change[0] == VARIANTS["no-null-token"].title
    assert change[1] == "-0.100 (-0.100 to -0.100)"
    assert change[-1] == "too few images to tell"
    assert len(change) == 2 + len(SCORES)
    assert change[4] == "-"  # one subject has no other to be told apart from
    assert "* steps 5." in text
