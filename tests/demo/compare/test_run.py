"""The Compare tab without a browser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demo.compare.grid import Comparison
from demo.compare.panel import AXIS, GRID, NOTHING, OMIT
from demo.compare.run import Comparing
from demo.compare.tab import CompareTab
from demo.compare.variants import Table
from demo.form.form import Form
from demo.server.limits import Limits, hosted, usual
from demo.server.service import Service
from demo.studio.tab import StudioTab
from demo.viewer.history import Shelf
from mmdiff_core.errors import PhotoError, SettingsError
from tests.helpers.stand_in import StandIn

Values = dict[Any, Any]


@pytest.fixture
def comparing() -> Comparing:
    return _comparing(StandIn())


def _comparing(model: StandIn | Service) -> Comparing:
    studio = StudioTab(model)  # type: ignore[arg-type]
    tab = CompareTab(model, studio)  # type: ignore[arg-type]
    with gr.Blocks():
        studio.render()
        tab.render()
    return tab.comparing


@pytest.fixture
def values(comparing: Comparing, photo: str) -> Values:
    return _values(comparing, photo)


def _values(comparing: Comparing, photo: str) -> Values:
    """A cat and a robot in the Studio, seed 4."""
    form, panel = comparing.form, comparing.panel
    values: Values = {field: getattr(field, "value", None) for field in (*form.fields, *panel.fields)}
    for card in form.compose.cards:
        values |= {card.name: None, card.photos: None, card.aside: ()}
    for card, name in zip(form.compose.cards, ("cat", "robot"), strict=False):
        values |= {card.name: name, card.photos: [(photo, None)]}
    values |= {form.compose.prompt: "a cat and a robot", form.settings.seed: 4, form.settings.pictures: 3}
    values |= {panel.comparison: panel.comparison.value, panel.mode: OMIT}
    return values


def test_fields_come_back_from_the_browser(comparing: Comparing) -> None:
    panel = comparing.panel
    kept = {"model": "toybox", "mode": GRID, "omit": ["refiner"], "across": AXIS("steps"), "columns": "3 6"}
    update = panel._recall(kept | {"down": AXIS("parts"), "rows": ""})
    assert (update[panel.mode], update[panel.omit], update[panel.across]) == (GRID, ["refiner"], AXIS("steps"))
    assert update[panel.columns]["value"] == "3 6"
    assert (update[panel.rows]["value"], update[panel.rows]["visible"]) == ("", False)


@pytest.mark.parametrize("axis", ["steps", "delay", "guidance", "sampler", "width", "height"])
def test_values_of_another_model_do_not(comparing: Comparing, axis: str) -> None:
    panel = comparing.panel
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
def test_what_is_no_good_is_left(comparing: Comparing, kept: object) -> None:
    update = comparing.panel._recall(kept)
    assert list(update) == [comparing.panel.mode]
    assert update[comparing.panel.mode] == gr.skip()


def _grid(comparing: Comparing, across: str, columns: str, down: str, rows: str) -> Values:
    panel = comparing.panel
    return {
        panel.mode: GRID, panel.across: AXIS(across), panel.columns: columns, panel.down: AXIS(down), panel.rows: rows,
    }  # fmt: skip


def test_the_studio_s_picture_comes_first_with_one_seed(comparing: Comparing, values: Values) -> None:
    table = comparing.table(values)
    assert table.against_first
    assert [label.key for label in table.columns] == [
        *("as_composed", "without_vision_text", "without_refiner", "without_image_branch", "without_null_token"),
        *("without_subject", "without_subject"),
    ]
    assert {variant.case.request.seeds for variant in table.variants} == {(4,)}


def test_cells_have_what_pictures_of_the_studio_have(comparing: Comparing, values: Values) -> None:
    values |= {comparing.panel.omit: ["refiner"]}
    cell = list(comparing.run(values))[-1].value["cells"][1]
    maps = values[comparing.panel.comparison].get(cell["name"]).shot["maps"]["streams"]
    assert "words" in maps
    assert [(group["layer"], group["heads"]) for group in maps["image"]] == [("mid_block", 2)]


def test_what_is_in_common_tells_of_binding_and_sampler(comparing: Comparing, values: Values) -> None:
    settings = comparing.form.settings
    plain = comparing.review(values)[comparing.panel.plan]["base"]
    told = comparing.review(values | {settings.bound: 0.5, settings.sampler: "unipc"})[comparing.panel.plan]["base"]
    assert told == [*plain, ["bound", "0.5"], ["sampler", "unipc"]]


def test_a_run_shows_every_step_and_keeps_every_picture(comparing: Comparing, values: Values) -> None:
    values |= {comparing.panel.omit: ["refiner", "all_photos"]}
    updates = list(comparing.run(values))
    assert updates[0].props["live"] == {"progress": None}
    assert updates[1].value["columns"] == [["as_composed", ""], ["without_refiner", ""], ["without_photos", ""]]
    step = updates[3].props["live"]
    assert (step["place"], step["progress"]["step"], step["progress"]["steps"]) == (0, 2, 6)
    assert step["progress"]["done"] == pytest.approx(2 / 18)
    assert len(step["maps"]["image"]) == 2
    cells = updates[-1].value["cells"]
    assert [cell["place"] for cell in cells] == [0, 1, 2]
    assert [len(cell["subjects"]) for cell in cells] == [2, 2, 0]
    assert cells[2]["maps"] == {}
    assert updates[-1].props["live"] is None
    assert comparing.personalizer.log == ["start (4,)", "finished"] * 3


def test_stop_keeps_what_is_finished(comparing: Comparing, values: Values) -> None:
    values |= _grid(comparing, "strength", "0.5 1", "seed", "1-2")
    run = comparing.run(values)
    for update in run:
        if update.value and len(update.value["cells"]) == 2:
            break
    next(run)
    run.close()
    comparison = values[comparing.panel.comparison]
    assert [cell.seed for cell in comparison.cells.values()] == [1, 1]
    assert comparing.personalizer.log[-1] == "cancelled"
    assert comparing.rest()[comparing.panel.sheet].props["live"] is None


def test_a_picture_opens_in_the_studio_with_all_its_steps(comparing: Comparing, values: Values) -> None:
    values |= _grid(comparing, "strength", "0.5 1", "none", "")
    assert comparing.panel._axis(NOTHING) is None
    list(comparing.run(values))
    comparison, shelf = values[comparing.panel.comparison], Shelf()
    name = list(comparison.cells)[1]
    update = comparing.inspect(comparison, shelf, gr.EventData(None, {"name": name}))
    (shot,) = update.value["pictures"]
    assert update.value["opened"] is True
    assert shot["maps"]["steps"] == 6
    assert (shot["labels"], shot["facts"][1]["seed"]) == ([["strength", "1"]], 4)
    assert shelf.get(name).zipped("text")  # what is made on demand can be made
    with pytest.raises(gr.Error, match="earlier comparison"):
        comparing.inspect(Comparison(), shelf, gr.EventData(None, {"name": name}))


def test_a_comparison_forgets_the_one_before(comparing: Comparing, values: Values) -> None:
    values |= {comparing.panel.omit: ["refiner"]}
    comparison = values[comparing.panel.comparison]
    list(comparing.run(values))
    before = list(comparison.cells)
    list(comparing.run(values))
    assert len(comparison.cells) == 2
    with pytest.raises(PhotoError):
        comparison.get(before[0])


def test_faults_are_said_before_anything_runs(comparing: Comparing, values: Values) -> None:
    panel, prompt = comparing.panel, comparing.form.compose.prompt
    for change, says in (
        ({prompt: ""}, "prompt"),
        ({panel.omit: []}, "Choose what to leave out"),
        (_grid(comparing, "seed", "1", "seed", "1"), "two different settings"),
        (_grid(comparing, "strength", "9", "seed", "1"), "out of range"),
        (_grid(comparing, "strength", "1", "steps", "99"), "Strength 1 · Steps 99: The number of steps"),
    ):
        checking = comparing.check(values | change)
        told = next(checking)[panel.plan]
        assert told["asked"]
        assert says in told["fault"]
        with pytest.raises(gr.Error):
            next(checking)
    assert comparing.personalizer.log == []


def test_the_count_and_the_base_follow_the_fields(comparing: Comparing, values: Values) -> None:
    told = comparing.review(values)
    base = [["seed", "4"], ["steps", "6"], ["guidance", "3"], ["delay", "1"]]
    assert told[comparing.panel.plan] == {"count": 7, "fault": "", "asked": "", "base": base}
    assert '<mark style="--subject:' in told[comparing.panel.base]
    assert comparing.review(values | {comparing.form.compose.prompt: ""})[comparing.panel.base] == ""


def test_an_axis_brings_values(comparing: Comparing) -> None:
    assert comparing.panel._suggest(AXIS("guidance"))["value"] == "1 3 6"
    assert comparing.panel._suggest(AXIS("parts"))["visible"] is False
    assert comparing.panel._suggest(NOTHING)["visible"] is False


def test_too_many_pictures_are_refused(comparing: Comparing, values: Values) -> None:
    with pytest.raises(SettingsError, match="132 pictures"):
        comparing.table(values | _grid(comparing, "seed", "1-11", "strength", "0 .1 .2 .3 .4 .5 .6 .7 .8 .9 1 1.1"))


def test_a_host_takes_fewer_pictures_and_keeps_less_of_them(photo: str) -> None:
    comparing = _comparing(Service(StandIn(), hosted()))  # type: ignore[arg-type]
    values = _values(comparing, photo) | {comparing.form.settings.pictures: 1}
    told = comparing.review(values | _grid(comparing, "seed", "1-4", "strength", "0.5 1 1.5 2"))
    assert told[comparing.panel.plan]["fault"] == "4 × 4 are 16 pictures: ask for 12 at most here."
    assert len(comparing.table(values | _grid(comparing, "seed", "1-4", "strength", "0.5 1 2")).variants) == 12
    comparison: Comparison = values[comparing.panel.comparison]
    for _ in range(2):
        assert (comparison.shelf._most, comparison.shelf._most_bytes) == (12, hosted().shelf_mb * 2**20)
        list(comparing.run(values | {comparing.panel.omit: ["refiner"]}))


def test_a_comparison_has_the_time_of_one_request(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second a step."""
    model, now = StandIn(), [0.0]
    monkeypatch.setattr("demo.server.service.time", SimpleNamespace(monotonic=lambda: now[0]))
    comparing = _comparing(Service(model, Limits(run_seconds=10)))  # type: ignore[arg-type]
    values = _values(comparing, photo) | {comparing.panel.omit: ["refiner", "all_photos"]}

    def tick(update: gr.HTML) -> None:
        now[0] += 1

    with pytest.raises(gr.Error, match="A comparison may keep the model for 10 seconds"):
        list(map(tick, comparing.run(values)))
    assert model.log[-1] == "cancelled"
    assert len(values[comparing.panel.comparison].cells) == 1  # what is finished stays


def test_photos_are_remembered_from_one_comparison_to_the_next() -> None:
    comparison = Comparison(usual())
    photos = comparison.shelf.photos
    comparison.begin(Table(None, None, (), (), ()), Form("", ()))
    assert comparison.shelf.photos is photos
