"""Leakage at several strengths of word gating, on tiny models; shares against scores by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import weights_fingerprint
from mmdiff_core.evaluation.toybox.leakage_suite import (
    LeakageOptions,
    evaluate_leakage,
    leakage_markdown,
    summarise_leakage,
)
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, ToyboxScores
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny
from tests.helpers.markdown import cells


@pytest.fixture
def options(tmp_path: Path, model: Path, referee_file: Path) -> LeakageOptions:
    return LeakageOptions(tmp_path / "out", model, referee_file, 2, (0,), word_gatings=(0.0, 1.0))


@pytest.mark.slow
def test_every_strength_has_the_same_prompts_and_goes_on(options: LeakageOptions) -> None:
    folder = options.folder
    table = evaluate_leakage(options)
    assert [key for key in table if key != "about"] == ["0", "1"]
    rows = {b: [json.loads(x) for x in (folder / f"rows-{b}.jsonl").read_text().splitlines()] for b in ("0", "1")}
    assert [[row["prompt"] for row in line] for line in rows["0"]] == [
        [row["prompt"] for row in line] for line in rows["1"]
    ]
    kept = (folder / "rows-1.jsonl").read_text()
    (folder / "rows-1.jsonl").write_text(kept.splitlines(keepends=True)[0] + '[{"torn')
    assert evaluate_leakage(options) == table
    assert (folder / "rows-1.jsonl").read_text() == kept
    assert json.loads((folder / "binding.json").read_text()) == table
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_leakage(replace(options, seeds=(1,)))


@pytest.mark.slow
def test_an_adapter_in_the_place_of_the_models_own(options: LeakageOptions, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.safetensors"
    save_adapter(tiny.adapter_for(tiny.stable_diffusion(), seed=3), adapter, {})
    start = ["evaluate", "leakage", "--model", str(options.model), "--referee", str(options.referee)]
    start += ["--out", str(tmp_path / "out"), "--quick", "--prompts", "1", "--device", "cpu", "--word-gating", "1"]
    assert main([*start, "--adapter", str(adapter)]) == 0
    kept = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert kept["adapter"] == weights_fingerprint(adapter)
    assert main(start) == BAD_INPUT  # the model's own is another comparison


def test_shares_of_scores_by_hand() -> None:
    row = ToyboxScores(MODEL, 2, 0, 0, "", [True, False], [True, False], True, True, True, [True, True], [])
    rows = [row, replace(row, seed=1, swapped=[], present=False), replace(row, number=1, swapped=[False, False])]
    table = summarise_leakage(rows)
    assert (table["swapped"]["mean"], table["swapped"]["n"]) == (0.25, 4)  # an image without both toys does not count
    assert (table["identity"]["mean"], table["peak"]["mean"]) == (0.5, 1.0)
    assert table["present"]["mean"] == round(2 / 3, 4)
    text = leakage_markdown({"0": table, "1": summarise_leakage([replace(row, swapped=[])]), "about": {"model": "m"}})
    swaps = next(row for row in cells(text) if row[0] == "attributes swapped between the subjects")
    assert swaps[1].startswith("0.250 (")
    assert swaps[2] == "-"


@pytest.mark.slow
def test_the_command(options: LeakageOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = ["evaluate", "leakage", "--model", str(options.model), "--referee", str(options.referee)]
    start += ["--out", str(tmp_path), "--quick", "--prompts", "1", "--device", "cpu"]
    assert main([*start, "--word-gating", "0.8"]) == 0
    assert cells(capsys.readouterr().out)[0] == ["measure, by the referee", "word gating 0.8"]
    assert main([*start, "--word-gating", "2"]) == BAD_INPUT
    assert "from 0 (off) to 1" in capsys.readouterr().err
    assert main([*start, "--seed", "7"]) == BAD_INPUT
    assert str(FIRST_SEED) in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*start, "--base", "x"])
    assert "unrecognized arguments: --base x" in capsys.readouterr().err
