"""The report of the suite against scores by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.evaluation.toybox.report import (
    MEASURES,
    NOTES,
    TARGETS,
    summarise_toybox,
    toybox_markdown,
    write_toybox_report,
)
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.referee.metrics import THRESHOLDS
from tests.helpers.markdown import cells
from tests.helpers.toybox_scores import pair_scores


@pytest.fixture
def rows() -> list[ToyboxScores]:
    return [
        pair_scores(MODEL, 0, 0, True, 0.8, [False, False]),
        pair_scores(MODEL, 0, 1, False, 0.4, []),
        pair_scores(MODEL, 1, 0, True, 0.6, [True, False]),
        pair_scores(MODEL, 1, 1, True, 0.6, [False, False]),
        pair_scores(UPPER, 0, 0, True, 1.0, [False, False]),
        pair_scores(LOWER, 0, 0, False, 0.2, [True, True]),
    ]


def test_means_and_intervals(rows: list[ToyboxScores]) -> None:
    table = summarise_toybox(rows)
    two = table["two"]
    assert (two["identity"]["mean"], two["identity"]["n"]) == (7 / 8, 8)
    assert (two["swapped"]["mean"], two["swapped"]["n"]) == (pytest.approx(1 / 6, abs=1e-4), 6)
    assert (two["present"]["mean"], two["present"]["n"]) == (3 / 4, 4)
    assert (two["style"]["mean"], two["peak"]["mean"]) == (1.0, 7 / 8)
    assert (two["iou"]["mean"], two["iou"]["low"], two["iou"]["high"]) == (0.6, 0.6, 0.6)  # both prompts have 0.6
    assert table["thresholds"][MODEL] == THRESHOLDS[2]
    assert table["upper"]["two"]["present"]["mean"] == 1.0
    assert table["lower"]["two"]["swapped"] == {"mean": 1.0, "low": 0.2065, "high": 1.0, "n": 2}  # one prompt
    assert table["one"]["present"] is None


def test_missed_targets_are_bold(rows: list[ToyboxScores]) -> None:
    text = toybox_markdown({**summarise_toybox(rows), "about": {"model": "m"}})
    printed = {row[0]: row for row in cells(text)}
    assert printed[MEASURES["swapped"]][3].startswith("**0.167 (")  # more than 0.03
    assert printed[MEASURES["swapped"]][4] == "≤ 0.03"
    assert printed[MEASURES["identity"]][3].startswith("**0.875 (")  # less than 0.90
    assert printed[MEASURES["present"]][3].startswith("**0.750 (")  # less than 0.97
    assert printed[MEASURES["peak"]][5:] == ["-", f"≥ {TARGETS['three']['peak']:.2f}"]
    assert printed[MEASURES["twice"]][3:5] == ["0.000 (0.000 to 0.658, n 8)", "-"]
    assert printed[MEASURES["style"]][1:3] == ["-", f"≥ {TARGETS['one']['style']:.2f}"]
    assert printed["lower: swapped"][2].startswith("1.000 (")
    assert len(printed["lower: swapped"]) == 4
    assert all(note in text for note in NOTES.values())
    assert text.rstrip().endswith("* model m.")


def test_both_files_are_written(rows: list[ToyboxScores], tmp_path: Path) -> None:
    table = write_toybox_report(rows, tmp_path, {"model": "m"})
    assert json.loads((tmp_path / "toybox.json").read_text()) == table
    assert table["about"] == {"model": "m"}
    assert (tmp_path / "toybox.md").read_text() == toybox_markdown(table)
