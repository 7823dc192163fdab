"""Unlike numbers of photos, on tiny models; shares against scores by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.cli.main import main
from mmdiff_core.evaluation.toybox.photo_balance_suite import (
    BALANCED,
    MANY,
    PLAIN,
    draw_unbalanced_cases,
    likeness_changes,
    photo_balance_markdown,
    subject_with_many,
    summarise_photo_balance,
)
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, ToyboxScores
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from tests.helpers.markdown import cells

ROW = ToyboxScores(
    MODEL, 2, 0, 0, "", [True, False], [True, False], True, True, True, [True, True], [], likeness=[0.9, 0.4]
)


def test_each_subject_has_many_photos_in_every_other_case() -> None:
    cases = draw_unbalanced_cases(FIRST_WORLD, 3)
    assert [[len(own) for own in case.views] for case in cases] == [[MANY, 1], [1, MANY], [MANY, 1]]
    for case in cases:
        for toy, views in zip(case.toys, case.views, strict=True):
            assert all(view.toys[0].toy == toy for view in views)
        assert len({view.toys[0].yaw for view in case.views[subject_with_many(case.number)]}) == MANY


def test_measures_by_hand() -> None:
    other = replace(ROW, number=1, swapped=[], present=False, likeness=[0.2, 0.6])  # its second subject has many
    table = summarise_photo_balance([ROW, other])
    assert (table["likeness_many"]["mean"], table["likeness_single"]["mean"]) == (0.75, 0.3)
    assert (table["identity_many"]["mean"], table["identity_single"]["mean"]) == (0.5, 0.5)
    assert (table["swapped"]["mean"], table["present"]["mean"]) == (0.5, 0.5)
    assert summarise_photo_balance([other])["swapped"] is None


def test_changes_are_paired() -> None:
    after = [replace(ROW, likeness=[0.8, 0.7]), replace(ROW, number=9)]  # the latter has no partner
    change = likeness_changes([ROW], after)
    assert (change["likeness_many"]["mean"], change["likeness_many"]["n"]) == (pytest.approx(-0.1), 1)
    assert change["likeness_single"]["mean"] == pytest.approx(0.3)
    tables = {name: summarise_photo_balance(rows) for name, rows in ((PLAIN, [ROW]), (BALANCED, after[:1]))}
    text = photo_balance_markdown({**tables, "change": change, "about": {"model": "m"}})
    row = next(row for row in cells(text) if row[0] == "likeness of the subject with one photo")
    assert [cell.split(" ")[0] for cell in row[1:]] == ["0.400", "0.700", "+0.300"]


@pytest.mark.slow
def test_the_command(tmp_path: Path, model: Path, referee_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["evaluate", "photo-balance", "--model", str(model), "--referee", str(referee_file)]
    assert main([*start, "--out", str(tmp_path / "out"), "--quick", "--prompts", "2", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert cells(printed)[0] == ["measure, by the referee", "all tokens alike", "each subject alike", "change"]
    assert (tmp_path / "out" / "balance.md").read_text() == printed
    table = json.loads((tmp_path / "out" / "balance.json").read_text())
    assert table[PLAIN]["present"]["n"] == table[BALANCED]["present"]["n"] == 2
