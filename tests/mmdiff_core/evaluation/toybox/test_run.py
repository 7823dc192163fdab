"""Whole evaluations on a tiny generator and a tiny referee: the report, going on, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.evaluation.toybox.report import COUNTS, MEASURES
from mmdiff_core.evaluation.toybox.run import ToyboxOptions, evaluate_toybox, read_toybox_scores
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED
from tests.helpers import tiny
from tests.helpers.markdown import cells

PROMPTS = {1: 2, 2: 1, 3: 1}


@pytest.mark.slow
def test_the_report_has_every_measure(model: Path, referee_file: Path, tmp_path: Path) -> None:
    options = ToyboxOptions(tmp_path, model, referee_file, PROMPTS)
    table = evaluate_toybox(options)
    assert json.loads((tmp_path / "toybox.json").read_text()) == table
    for part in (table, table["upper"], table["lower"]):
        for count, name in COUNTS.items():
            assert part[name].keys() == MEASURES.keys()
            for measure, value in part[name].items():
                if measure == "swapped" and (count == 1 or value is None):
                    continue
                assert value.keys() == {"mean", "low", "high", "n"}
                assert 0 <= value["low"] <= value["mean"] <= value["high"] <= 1
    assert table["one"]["swapped"] is None
    assert "one.swapped" in table["notes"]
    assert [table[name]["present"]["n"] for name in COUNTS.values()] == [4, 2, 2]  # 2 seeds
    assert [table[name]["identity"]["n"] for name in COUNTS.values()] == [4, 4, 6]
    assert [table["lower"][name]["present"]["n"] for name in COUNTS.values()] == [2, 1, 1]
    assert ["attributes swapped between subjects", "-", "-"] in [
        row[:3] for row in cells((tmp_path / "toybox.md").read_text())
    ]
    rows = read_toybox_scores(tmp_path)
    assert len(rows) == 4 * 4  # two images, the render and the base's, of four prompts
    for found in rows:
        assert len(found.likeness) == found.count
        assert all(-1 <= x <= 1 for x in found.likeness)
    for name in COUNTS.values():
        with Image.open(tmp_path / "sheets" / f"{name}.png") as sheet:
            assert min(sheet.size) > 160


@pytest.mark.slow
def test_stopped_evaluation_goes_on_with_the_same_result(model: Path, referee_file: Path, tmp_path: Path) -> None:
    options = ToyboxOptions(tmp_path, model, referee_file, {1: 2, 2: 1}, seeds=(0,))
    table = evaluate_toybox(options)
    rows = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(rows[:1]) + rows[1][:40])  # killed while writing
    assert evaluate_toybox(options) == table
    assert (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True) == rows
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_toybox(replace(options, seed=FIRST_SEED + 1))
    assert (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True) == rows


@pytest.mark.slow
def test_commands_refuse_what_cannot_be_measured(
    model: Path, referee_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["evaluate", "toybox", "--model", str(model), "--referee", str(referee_file), "--out", str(tmp_path)]
    assert main([*start, "--seed", "5"]) == BAD_INPUT
    assert "900000" in capsys.readouterr().err
    for command, told in ((["evaluate", "photos"], "'toybox'"), ([*start, "--pairs", "8"], "--pairs 8")):
        with pytest.raises(SystemExit, match="2"):
            main(command)
        assert told in capsys.readouterr().err
    assert main([*start, "--prompts", "0"]) == BAD_INPUT
    assert main([*start[:4], "--referee", str(tmp_path / "none"), "--out", str(tmp_path)]) == BAD_INPUT
    assert main([*start, "--quick", "--prompts", "1"]) == 0
    assert cells(capsys.readouterr().out)[0][0] == "measure, by the referee"


def test_referee_must_know_the_models_words(referee_file: Path, tmp_path: Path) -> None:
    model = tiny.save_toybox(tmp_path / "model")  # of the first world
    with pytest.raises(ModelError, match="rabbit"):
        evaluate_toybox(ToyboxOptions(tmp_path / "out", model, referee_file, PROMPTS))
    with pytest.raises(SettingsError, match="trained on"):
        evaluate_toybox(ToyboxOptions(tmp_path / "out", model, referee_file, PROMPTS, seed=0))
