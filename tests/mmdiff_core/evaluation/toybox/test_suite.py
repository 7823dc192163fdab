"""The suite from prompts to the report, on a tiny generator and a tiny referee."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.backbones import toybox
from mmdiff_core.backbones.base import Defaults
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.evaluation.toybox import suite as module
from mmdiff_core.evaluation.toybox.base_model import base_pictures
from mmdiff_core.evaluation.toybox.report import COUNTS, MEASURES, NOTES, summarise_toybox, toybox_markdown
from mmdiff_core.evaluation.toybox.run import ToyboxOptions, evaluate_toybox, read_toybox_scores
from mmdiff_core.evaluation.toybox.suite import DISTRACTORS_FROM, LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, draw_toybox_cases
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import THRESHOLDS
from mmdiff_core.referee.network import Referee, save_referee
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, unseen
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, save_vocabulary
from mmdiff_core.types import Components, GenerateRequest
from tests.helpers import tiny
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY

PROMPTS = {1: 2, 2: 1, 3: 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny.save_toybox(tmp_path_factory.mktemp("model"))
    save_vocabulary(VOCABULARY, folder)
    return folder


@pytest.fixture(scope="module")
def referee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("referee") / "referee.safetensors"
    save_referee(Referee(CONFIG), file)
    return file


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISTRACTORS", 15)
    monkeypatch.setattr(toybox, "DEFAULTS", Defaults(steps=2, guidance=2.0))


def test_prompts_are_the_same_every_time_and_of_unseen_toys() -> None:
    cases = draw_toybox_cases(WHOLE_WORLD, {1: 12, 2: 12, 3: 6})
    assert cases == draw_toybox_cases(WHOLE_WORLD, {1: 12, 2: 12, 3: 6})
    identities = [toy.seed for case in cases for toy in case.toys]
    assert identities[:12] == list(range(FIRST_SEED, FIRST_SEED + 12))
    assert len(set(identities)) == 12 + 24 + 18
    assert [case for case in cases if case.number < 3] == draw_toybox_cases(WHOLE_WORLD, {1: 3, 2: 3, 3: 3})
    assert FIRST_SEED >= HELD_OUT
    assert max(identities) < FIRST_SEED + DISTRACTORS_FROM  # rivals are other toys
    other = draw_toybox_cases(WHOLE_WORLD, {1: 12}, seed=FIRST_SEED + 500)
    assert [case.scene.caption for case in other] != [case.scene.caption for case in cases[:12]]


def test_prompts_name_what_is_measured() -> None:
    for case in draw_toybox_cases(WHOLE_WORLD, {1: 16, 2: 16, 3: 8}):
        text = case.scene.caption.text
        assert len(set(case.classes)) == case.count == len(case.scene.caption.names)
        assert any(words in text for words in BACKGROUND_WORDS[case.scene.background])
        assert all(view.toys[0].toy == toy for views, toy in zip(case.views, case.toys, strict=True) for view in views)
        assert all(view.background != case.scene.background for views in case.views for view in views)


def test_some_prompts_are_of_combinations_that_were_never_trained_on() -> None:
    for vocabulary in (WHOLE_WORLD, FIRST_WORLD):
        cases = draw_toybox_cases(vocabulary, {1: 17, 2: 9})
        fresh = [any(unseen(n, case.scene.background, case.scene.style) for n in case.classes) for case in cases]
        assert all(fresh[k] for k in (0, 8, 16, 17, 25))
        words = {(case.scene.background, case.scene.style) for case in cases}
        assert all(background in vocabulary.backgrounds and style in vocabulary.styles for background, style in words)


def test_base_model_without_photos_is_exactly_the_stock_network(model: Path) -> None:
    personalizer = Personalizer.load(model)
    prompt, subjects = "a cat next to a robot in the snow", tiny.cat_and_robot()
    request = GenerateRequest(prompt, subjects, seeds=(3, 4), steps=3)
    found = list(base_pictures(personalizer, request))
    *_, last = personalizer.generate(replace(request, components=Components(vision_text=False, image_branch=False)))
    assert last.result is not None
    for picture, expected in zip(found, last.result, strict=True):
        # The attention is computed by other kernels where it is recorded, so that a pixel may round the other way.
        assert np.abs(np.int16(picture.image) - np.int16(expected.image)).max() <= 1
        assert picture.maps is not None
        assert picture.maps.kinds == ("text",)
        assert picture.maps.steps == (0, 1, 2)
        assert float(np.ptp(picture.maps.at("robot", "text"))) > 0


def test_report_has_the_shape_that_is_promised(model: Path, referee: Path, tmp_path: Path) -> None:
    options = ToyboxOptions(tmp_path, model, referee, PROMPTS)
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
    assert len(rows) == 4 * 4  # two pictures, the render and the base's, of four prompts
    for found in rows:
        assert len(found.likeness) == found.count
        assert all(-1 <= x <= 1 for x in found.likeness)
    for name in COUNTS.values():
        with Image.open(tmp_path / "sheets" / f"{name}.png") as sheet:
            assert min(sheet.size) > 160


@pytest.mark.slow
def test_stopped_evaluation_goes_on_with_the_same_result(model: Path, referee: Path, tmp_path: Path) -> None:
    options = ToyboxOptions(tmp_path, model, referee, {1: 2, 2: 1}, seeds=(0,))
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
    model: Path, referee: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["evaluate", "toybox", "--model", str(model), "--referee", str(referee), "--out", str(tmp_path)]
    assert main([*start, "--seed", "5"]) == BAD_INPUT
    assert "900000" in capsys.readouterr().err
    for command, told in ((["evaluate", "photos"], "'toybox'"), ([*start, "--steps", "8"], "--steps 8")):
        with pytest.raises(SystemExit, match="2"):
            main(command)
        assert told in capsys.readouterr().err
    assert main([*start, "--prompts", "0"]) == BAD_INPUT
    assert main([*start[:4], "--referee", str(tmp_path / "none"), "--out", str(tmp_path)]) == BAD_INPUT
    assert main([*start, "--quick", "--prompts", "1"]) == 0
    assert cells(capsys.readouterr().out)[0][0] == "measure, by the referee"


def test_referee_must_know_the_models_words(referee: Path, tmp_path: Path) -> None:
    model = tiny.save_toybox(tmp_path / "model")  # of the first world
    with pytest.raises(ModelError, match="rabbit"):
        evaluate_toybox(ToyboxOptions(tmp_path / "out", model, referee, PROMPTS))
    with pytest.raises(SettingsError, match="trained on"):
        evaluate_toybox(ToyboxOptions(tmp_path / "out", model, referee, PROMPTS, seed=0))


def row(kind: str, number: int, seed: int, right: bool, iou: float, swap: list[bool]) -> ToyboxScores:
    """A picture of two subjects: the first as said, the second always right; the best threshold is the third."""
    curve = [0.1, 0.1, iou] + [0.0] * (len(THRESHOLDS) - 3)
    return ToyboxScores(
        kind, 2, number, seed, "", [right, True], swap, right, right, True, [right, True], [curve, curve]
    )


def test_figures_of_hand_made_rows() -> None:
    rows = [
        row(MODEL, 0, 0, True, 0.8, [False, False]),
        row(MODEL, 0, 1, False, 0.4, []),
        row(MODEL, 1, 0, True, 0.6, [True, False]),
        row(MODEL, 1, 1, True, 0.6, [False, False]),
        row(UPPER, 0, 0, True, 1.0, [False, False]),
        row(LOWER, 0, 0, False, 0.2, [True, True]),
    ]
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
    text = toybox_markdown({**table, "about": {"model": "m"}})
    swaps = next(row for row in cells(text) if row[0] == MEASURES["swapped"])
    assert swaps[3].startswith("**0.167 (")  # misses the target of 0.03
    assert all(note in text for note in NOTES.values())
