"""Words against photos, on a tiny model and a tiny referee; estimates against scores by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox import conflict_suite
from mmdiff_core.evaluation.toybox.conflict_suite import (
    NEITHER,
    PHOTO_WINS,
    WORD_WINS,
    ConflictOptions,
    ConflictScores,
    conflicts_markdown,
    draw_conflicts,
    evaluate_conflicts,
    run_conflict,
    summarise_conflicts,
)
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import Judgement
from mmdiff_core.referee.network import load_referee
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY


def judgement(areas: list[int], colour: str, found: bool = True) -> Judgement:
    """Judge regions of so many pixels, whose main colour is certain."""
    regions = torch.zeros(len(areas), 10, 10, dtype=torch.bool)
    for region, area in zip(regions.flatten(1), areas, strict=True):
        region[:area] = True
    logits = torch.zeros(len(areas), len(CONFIG.colours))
    logits[:, CONFIG.colours.index(colour)] = 9.0
    return Judgement((True,), "beach", "photo", regions, (found,) * len(areas), torch.zeros(1, 2), (logits,))


def test_every_case_contradicts_its_photos() -> None:
    drawn = draw_conflicts(FIRST_WORLD, 30)
    assert [c.kind for c in drawn[:4]] == ["colour", "size"] * 2
    assert drawn[:8] == draw_conflicts(FIRST_WORLD, 4)
    for conflict in drawn:
        toys, text = conflict.case.toys, conflict.caption.text
        assert all(toy.seed >= HELD_OUT for toy in toys)
        if conflict.kind == "colour":
            assert f"{conflict.word} {toys[0].class_name}" in text
            assert conflict.word not in toys[0].attributes.colour_names
        else:
            small, large = conflict.case.classes
            assert f"a tiny {small} next to a giant {large}" in text
            assert (
                text.replace("tiny ", "").replace("giant ", "").split(" ")[-3:]
                == (conflict.case.scene.caption.text.split(" ")[-3:])
            )


def test_who_wins_and_how_large_the_first_toy_is(
    model: Path, referee_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = ToyboxSuite(Personalizer.load(model), load_referee(referee_file), (0, 1), bounds=False)
    colour, size = draw_conflicts(VOCABULARY, 1)
    own, other = [name for name in CONFIG.colours if name != colour.word][:2]
    answers = iter([judgement([10], own), judgement([10], colour.word), judgement([10], own)])
    monkeypatch.setattr(conflict_suite, "judge", lambda *_: [next(answers)])
    monkeypatch.setattr(suite, "judge_photos", lambda *_: [judgement([10], own)])
    told = run_conflict(suite, colour)
    assert [(row.winner, row.render, row.seed) for row in told] == [
        (PHOTO_WINS, PHOTO_WINS, 0),
        (WORD_WINS, PHOTO_WINS, 1),
    ]
    answers = iter([judgement([10], other), judgement([10], own, found=False), judgement([10], own)])
    assert [row.winner for row in run_conflict(suite, colour)] == [NEITHER, None]
    answers = iter([judgement([10, 30], own), judgement([10, 30], own, found=False), *[judgement([20, 20], own)] * 2])
    assert [(row.share, row.plain_share) for row in run_conflict(suite, size)] == [(0.25, 0.5), (None, 0.5)]


def test_estimates_and_their_table() -> None:
    rows = [
        ConflictScores("colour", 0, 0, "", PHOTO_WINS, render=PHOTO_WINS),
        ConflictScores("colour", 0, 1, "", WORD_WINS, render=PHOTO_WINS),
        ConflictScores("colour", 1, 0, "", NEITHER, render=NEITHER),
        ConflictScores("colour", 1, 1, "", None, render=NEITHER),
        ConflictScores("size", 0, 0, "", share=0.25, plain_share=0.5),
        ConflictScores("size", 0, 1, "", share=None, plain_share=0.5),
    ]
    table = summarise_conflicts(rows)
    assert [table[name]["mean"] for name in (PHOTO_WINS, WORD_WINS, NEITHER)] == [0.3333] * 3
    assert (table["render"]["mean"], table["render"]["n"]) == (0.5, 2)  # prompts
    assert (table["share"]["mean"], table["plain_share"]["mean"], table["smaller"]["mean"]) == (0.25, 0.5, 1.0)
    assert (table["judged"], table["images"]) == ({"colour": 3, "size": 1}, {"colour": 4, "size": 2})
    text = conflicts_markdown({**table, "about": {"model": "m"}})
    assert "3 of 4 (colour), 1 of 2 (size)" in text
    assert [row[1].split(" ")[0] for row in cells(text)[2:]][:3] == ["0.333"] * 3
    assert summarise_conflicts([])["share"] is None


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_stopped(model: Path, referee_file: Path, tmp_path: Path) -> None:
    options = ConflictOptions(tmp_path / "out", model, referee_file, 1, (0,))
    table = evaluate_conflicts(options)
    file = options.folder / "rows.jsonl"
    kept = file.read_text()
    file.write_text(kept.splitlines(keepends=True)[0] + '[{"torn')
    assert evaluate_conflicts(options) == table
    assert file.read_text() == kept
    assert json.loads((options.folder / "conflicts.json").read_text()) == table
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_conflicts(replace(options, seeds=(1,)))
