"""The whole evaluation on a tiny model; and the measures of a scene whose maps are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.pointing import run
from mmdiff_core.evaluation.pointing.map_choices import MapChoice
from mmdiff_core.evaluation.pointing.noised_renders import PointedScene
from mmdiff_core.evaluation.pointing.run import PointingOptions, evaluate_pointing, measure
from mmdiff_core.evaluation.toybox.toybox_cases import draw_toybox_cases
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from tests.helpers.small_referee import VOCABULARY

pytestmark = pytest.mark.slow


def test_a_map_that_is_the_mask_is_perfect_and_its_negative_the_opposite() -> None:
    (case,) = draw_toybox_cases(VOCABULARY, {2: 1})
    masks = np.zeros((2, 96, 96), dtype=bool)
    masks[0, :48, :48] = True
    masks[1, 90:92, 90:92] = True  # too small to be asked for
    own = torch.zeros(2, 1, 24, 24)
    own[0, 0, :12, :12] = 1.0
    record = StepMaps(0, "up", (24, 24), {"text": own, "image": -own, "influence": own})
    maps = AttentionMaps(case.scene.caption.names, (record,))
    choices = (MapChoice("text"), MapChoice("image"))
    measured = measure(PointedScene(case, maps, masks, (12, 12)), choices)
    assert measured["peaks"].tolist() == [[True, False]]
    assert measured["areas"][0].tolist() == pytest.approx([1.0, 0.0], abs=0.01)
    assert measured["curves"].shape[:2] == (1, 2)
    assert measured["curves"][0, 0].max() > 0.95


def test_an_evaluation_goes_on_where_it_was(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = PointingOptions(tmp_path, model, scenes={1: 1, 2: 1})
    told = evaluate_pointing(options)
    assert told == (tmp_path / "pointing.md").read_text()
    assert (tmp_path / "pointing.png").stat().st_size > 1000
    monkeypatch.setattr(run, "point", None)  # everything is there
    assert evaluate_pointing(options) == told
    with pytest.raises(SettingsError, match="other settings"):
        evaluate_pointing(replace(options, scenes={1: 2}))


def test_scenes_in_which_nothing_can_be_seen(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MIN_CELLS", run.GRID**2 + 1)
    with pytest.raises(SettingsError, match="ask for more scenes with --prompts"):
        evaluate_pointing(PointingOptions(tmp_path, model, scenes={1: 1}))
