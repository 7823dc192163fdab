"""The fields of the Compare tab: kept by the browser, suggested, counted."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from demo.compare.panel import AXIS, GRID, NOTHING
from demo.compare.run import ComparisonRunner
from mmdiff_core.errors import SettingsError
from mmdiff_core.output.export import png_info
from tests.helpers.compare_tab import grid_fields, variant_table
from tests.helpers.stand_in import Values
from tests.mmdiff_core.output.conftest import SETTINGS


def test_fields_come_back_from_the_browser(runner: ComparisonRunner) -> None:
    panel = runner.panel
    kept = {"model": "toybox", "mode": GRID, "omit": ["refiner"], "across": AXIS("steps"), "columns": "3 6"}
    update = panel._recall(kept | {"down": AXIS("parts"), "rows": ""})
    assert (update[panel.mode], update[panel.omit], update[panel.across]) == (GRID, ["refiner"], AXIS("steps"))
    assert update[panel.columns]["value"] == "3 6"
    assert (update[panel.rows]["value"], update[panel.rows]["visible"]) == ("", False)


def test_fields_come_back_from_a_saved_grid(runner: ComparisonRunner, values: Values, tmp_path: Path) -> None:
    panel = runner.panel
    values |= grid_fields(runner, "bound", "0 0.5", "seed", "1-2")
    info, path = png_info(SETTINGS), str(tmp_path / "grid.png")
    info.add_text("mmdiff-compare", json.dumps(panel.asked(values)))
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    update = panel._open(path)
    assert (update[panel.mode], update[panel.down]) == (GRID, AXIS("seed"))
    assert update[panel.rows]["value"] == "1-2"
    assert update == panel._recall(panel.asked(values))
    Image.new("RGB", (8, 8)).save(path)
    assert panel._open(path) == panel._recall(None)


@pytest.mark.parametrize("axis", ["steps", "delay", "guidance", "sampler", "width", "height"])
def test_values_of_another_model_do_not(runner: ComparisonRunner, axis: str) -> None:
    panel = runner.panel
    kept = {
        "model": "another",
        "mode": GRID,
        "across": AXIS(axis),
        "columns": "1024",
        "down": AXIS("seed"),
        "rows": "7",
    }
    update = panel._recall(kept)
    assert panel.across not in update
    assert panel.columns not in update
    assert update[panel.rows]["value"] == "7"


@pytest.mark.parametrize(
    "kept",
    [
        None,
        "soul",
        [],
        {},
        {"mode": ["mode-grid"], "omit": "refiner", "across": {}, "columns": "1", "down": None, "rows": []},
        {"mode": "grid", "omit": None, "across": "axis-soul", "columns": "1", "down": AXIS("seed"), "rows": 3},
    ],
)
def test_what_is_no_good_is_left(runner: ComparisonRunner, kept: object) -> None:
    update = runner.panel._recall(kept)
    assert list(update) == [runner.panel.mode]
    assert update[runner.panel.mode] == gr.skip()


def test_an_axis_brings_values(runner: ComparisonRunner) -> None:
    script = runner.panel._suggest_script("rows")
    assert f'"{AXIS("guidance")}": "1 3 6"' in script
    assert f'"{AXIS("parts")}": ""' in script
    assert NOTHING not in script


def test_too_many_pictures_are_refused(runner: ComparisonRunner, values: Values) -> None:
    with pytest.raises(SettingsError, match="132 pictures"):
        variant_table(
            runner, values | grid_fields(runner, "seed", "1-11", "strength", "0 .1 .2 .3 .4 .5 .6 .7 .8 .9 1 1.1")
        )
