"""The report from scores by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmdiff_core.evaluation.pointing.map_choices import map_choices
from mmdiff_core.evaluation.pointing.report import (
    PointingScores,
    layer_name,
    summarise_pointing,
    write_pointing_report,
)
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.referee.metrics import THRESHOLDS
from tests.helpers.markdown import cells

UP, MID = "up_blocks.1.attentions.0.transformer_blocks.0.attn2", "mid_block.attentions.0.transformer_blocks.0.attn2"
CHOICES = map_choices([AttentionLayer(path, 8, 8, 8, 2) for path in (UP, MID)])


def scores(scene: int, area: float) -> PointingScores:
    """Return those of a scene with two subjects; every choice alike but the first, whose peaks all miss."""
    shape = (2, len(CHOICES))
    peaks = np.ones(shape, dtype=bool)
    peaks[:, 0] = False
    curves = np.zeros((*shape, len(THRESHOLDS)), dtype=np.float16)
    curves[..., 4] = 0.5
    return PointingScores(scene, 2, peaks, np.full(shape, area, dtype=np.float16), curves)


def test_a_choice_is_measured_over_all_subjects() -> None:
    first, second, *_ = summarise_pointing(CHOICES, [scores(0, 0.75), scores(1, 1.0)])
    assert (first.peak.mean, second.peak.mean) == (0.0, 1.0)
    assert first.area.mean == pytest.approx(0.875)
    assert (first.area.low, first.area.high) == pytest.approx((0.75, 1.0))  # two scenes, not four subjects
    assert first.iou.mean == pytest.approx(0.5)


def test_the_report_has_every_choice(tmp_path: Path) -> None:
    told = write_pointing_report(CHOICES, [scores(0, 0.75)], tmp_path, {"model": "abc"})
    rows = cells(told)
    assert any("DAAM" in row[0] for row in rows)
    assert ["up 1.0", "0.750", "0.750", "0.750", "0.750"] in rows
    assert "2 subjects." in told
    assert "model abc." in told
    table = json.loads((tmp_path / "pointing.json").read_text())
    assert len(table["results"]) == len(CHOICES)
    assert set(table["results"][0]) == {"kind", "peak", "iou", "area"}  # what is left open is left out
    assert table["results"][0]["area"]["mean"] == 0.75
    assert (tmp_path / "pointing.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("path", "name"), [(UP, "up 1.0"), (MID, "mid 0")])
def test_layers_have_short_names(path: str, name: str) -> None:
    assert layer_name(path) == name
