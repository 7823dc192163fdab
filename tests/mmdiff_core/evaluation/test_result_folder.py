"""The folder of an evaluation: claimed once, written line by line, repaired after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import (
    append_prompt,
    claim_folder,
    read_prompts,
    repair,
    weights_fingerprint,
)


def test_a_folder_is_of_one_evaluation(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    claim_folder(folder, {"model": "abc", "seeds": [0, 1]})
    claim_folder(folder, {"model": "abc", "seeds": [0, 1]})
    with pytest.raises(SettingsError, match=r"other settings.*--out"):
        claim_folder(folder, {"model": "abd", "seeds": [0, 1]})
    assert json.loads((folder / "settings.json").read_text()) == {"model": "abc", "seeds": [0, 1]}


def test_settings_may_be_anything_with_a_text(tmp_path: Path) -> None:
    claim_folder(tmp_path, {"adapter": Path("a.safetensors")})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"adapter": "a.safetensors"}


def test_prompts_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert read_prompts(file) == []
    append_prompt(file, [{"seed": 0}, {"seed": 1}])
    append_prompt(file, [{"seed": 2}])
    assert read_prompts(file) == [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    assert len(file.read_text().splitlines()) == 2


def test_a_line_that_was_cut_short_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    repair(file)
    assert not file.exists()
    append_prompt(file, [{"seed": 0}])
    whole = file.read_text()
    file.write_text(whole + '[{"seed": 1}, {"se')
    repair(file)
    assert file.read_text() == whole
    repair(file)
    assert file.read_text() == whole


def test_a_fingerprint_is_of_the_weights_alone(tmp_path: Path) -> None:
    found = set()
    for value in (0.0, 1.0):
        torch.save({"x": torch.tensor(value)}, tmp_path / "custom_weights.bin")
        found.add(weights_fingerprint(tmp_path))
    (tmp_path / "notes.txt").write_text("changed")
    found.add(weights_fingerprint(tmp_path))
    assert len(found) == 2
    assert weights_fingerprint(tmp_path / "custom_weights.bin") == weights_fingerprint(tmp_path)
    assert {len(text) for text in found} == {12}
