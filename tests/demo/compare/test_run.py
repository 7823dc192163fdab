"""The Compare tab without a browser."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from types import SimpleNamespace

import gradio as gr
import pytest

from demo.compare.grid import Comparison, ComparisonGrid, GridStep
from demo.compare.panel import NOTHING
from demo.compare.run import ComparisonRunner
from demo.server.limits import Limits, hosted_limits
from demo.server.service import Service
from demo.viewer.history import History
from tests.helpers.compare_tab import click_compare, comparison_runner, filled_fields, grid_fields, variant_table
from tests.helpers.stand_in import StandIn, Values


def test_the_studio_s_picture_comes_first_with_one_seed(runner: ComparisonRunner, values: Values) -> None:
    table = variant_table(runner, values)
    assert table.against_first
    assert [label.key for label in table.columns] == [
        *("as_composed", "without_vision_text", "without_refiner", "without_image_branch", "without_null_token"),
        *("without_subject", "without_subject"),
    ]
    assert {variant.case.request.seeds for variant in table.variants} == {(4,)}


def test_cells_have_what_pictures_of_the_studio_have(runner: ComparisonRunner, values: Values) -> None:
    values |= {runner.panel.omit: ["refiner"]}
    cell = list(click_compare(runner, values))[-1].value["cells"][1]
    maps = values[runner.panel.comparison].get(cell["name"]).frame["maps"]["kinds"]
    assert "words" in maps
    assert [(group["layer"], group["heads"]) for group in maps["image"]] == [("mid_block", 2)]


def test_what_is_wrong_in_the_studio_is_said_to_be_there(runner: ComparisonRunner, values: Values) -> None:
    compose = runner.form.compose
    nameless = {compose.cards[0].name: "", compose.prompt: "a dragon and a robot"}
    told = runner.review(values | nameless)[runner.panel.summary]
    assert told["error"].startswith("In the Studio: Which word of the prompt do these photos show?")


def test_a_photo_is_compared_under_the_name_that_generate_would_take(runner: ComparisonRunner, values: Values) -> None:
    values |= {runner.form.compose.cards[0].name: ""}
    assert runner.review(values)[runner.panel.summary]["error"] == ""
    (checked,) = runner.check(values)
    assert [subject.name for subject in checked[runner.panel.planned].form.subjects] == ["cat", "robot"]


def test_what_is_in_common_tells_of_binding_and_sampler(runner: ComparisonRunner, values: Values) -> None:
    settings = runner.form.settings
    plain = runner.review(values)[runner.panel.summary]["common"]
    told = runner.review(values | {settings.bound: 0.5, settings.sampler: "unipc"})[runner.panel.summary]["common"]
    assert told == [*plain, ["bound", "0.5"], ["sampler", "unipc"]]


def test_a_run_shows_every_step_and_keeps_every_picture(runner: ComparisonRunner, values: Values) -> None:
    values |= {runner.panel.omit: ["refiner", "all_photos"]}
    updates = list(click_compare(runner, values))
    assert updates[0].props["live"] == {"progress": None}
    assert updates[1].value["columns"] == [["as_composed", ""], ["without_refiner", ""], ["without_photos", ""]]
    cells = updates[-1].value["cells"]
    assert [cell["place"] for cell in cells] == [0, 1, 2]
    assert [len(cell["subjects"]) for cell in cells] == [2, 2, 0]
    assert cells[2]["maps"] == {"steps": 0, "kinds": {}}
    assert updates[-1].props["live"] is None
    assert runner.service.log == ["start (4,)", "finished"] * 3


def test_a_grid_shows_where_its_run_is(runner: ComparisonRunner, values: Values) -> None:
    values |= {runner.panel.omit: ["refiner", "all_photos"]}
    (checked,) = runner.check(values)
    planned, comparison = checked[runner.panel.planned], Comparison()
    comparison.begin(planned.table, planned.form)
    grid = ComparisonGrid(comparison, [6] * 3)
    for step in runner._steps(planned, grid):
        grid.take(step)
        if step.step.step == 2 and step.place == 0:
            break
    live = grid.news(0).props["live"]
    assert (live["place"], live["progress"]["step"], live["progress"]["steps"]) == (0, 2, 6)
    assert live["progress"]["done"] == pytest.approx(2 / 18)
    assert len(live["maps"]["kinds"]["image"]) == 1
    assert not grid.complete


def _stopped_at(runner: ComparisonRunner, run: Iterator[gr.HTML], cells: int) -> None:
    """Watch a run to this number of pictures, in the middle of the next one, and click on Stop."""
    for update in run:
        value = getattr(update, "value", None)
        if value and len(value["cells"]) == cells:
            break
    run.close()


def test_stop_keeps_what_is_finished(runner: ComparisonRunner, values: Values) -> None:
    values |= grid_fields(runner, "strength", "0.5 1", "seed", "1-2")
    comparison = values[runner.panel.comparison]
    with runner.service.held(picture=1, step=3, seed=2):
        _stopped_at(runner, click_compare(runner, values), cells=2)
        runner.halt(comparison)
    list(comparison.job.follow())
    assert [cell.seed for cell in comparison.cells.values()] == [1, 1]
    assert runner.service.log[-1] == "cancelled"
    assert runner.rest(comparison)[runner.panel.grid].props["live"] is None


def test_a_page_that_comes_back_sees_its_comparison_to_its_end(runner: ComparisonRunner, values: Values) -> None:
    """It belongs to the history that the browser finds again, as long as there is one."""
    panel, history = runner.panel, History()
    first = runner.come_back(history)
    assert set(first) == {panel.comparison, panel.running}
    assert first[panel.running] == {"runs": False}
    values |= {panel.comparison: first[panel.comparison]}
    values |= grid_fields(runner, "strength", "0.5 1", "seed", "1-2")
    with runner.service.held(picture=1, step=3, seed=2):
        _stopped_at(runner, click_compare(runner, values), cells=2)  # the tab is reloaded
        back = runner.come_back(history)
        assert back[panel.comparison] is first[panel.comparison]
        assert len(back[panel.grid].value["cells"]) == 2
        assert back[panel.stop]["visible"]
        assert back[panel.running] == {"runs": True}
    *_, last, rest = runner.follow(back[panel.comparison])
    assert len(last[panel.grid].value["cells"]) == 4
    assert rest[panel.compare]["visible"]
    assert runner.service.log == ["start (1,)", "finished"] * 2 + ["start (2,)", "finished"] * 2
    assert runner.come_back(History())[panel.comparison] is not first[panel.comparison]
    del history
    gc.collect()
    assert len(runner.kept) <= 1


def test_a_new_comparison_waits_for_the_end_of_the_stopped_one(runner: ComparisonRunner, values: Values) -> None:
    values |= grid_fields(runner, "strength", "0.5 1", "seed", "1-2")
    comparison = values[runner.panel.comparison]
    with runner.service.held(picture=1, step=3, seed=2):
        _stopped_at(runner, click_compare(runner, values), cells=2)
        again = click_compare(runner, values | grid_fields(runner, "strength", "2", "seed", "3"))
        next(again)
    cells = list(again)[-1].value["cells"]
    assert [cell.seed for cell in comparison.cells.values()] == [3]
    assert len(cells) == 1


@pytest.mark.slow
def test_a_picture_opens_in_the_studio_with_all_its_steps(runner: ComparisonRunner, values: Values) -> None:
    values |= grid_fields(runner, "strength", "0.5 1", "none", "")
    assert runner.panel._axis(NOTHING) is None
    list(click_compare(runner, values))
    comparison, history = values[runner.panel.comparison], History()
    name = list(comparison.cells)[1]
    compose, settings = runner.form.compose, runner.form.settings
    values |= {runner.result.history: history, compose.undo.stack: ()}
    values |= {compose.prompt: "something else", settings.steps: 3}  # since then
    update = runner.open_picture(values, gr.EventData(None, {"name": name}))
    (frame,) = update[runner.result.viewer].value["pictures"]
    assert update[runner.result.viewer].value["opened"] is True
    assert (update[compose.prompt], update[settings.steps], update[settings.seed]) == ("a cat and a robot", 6, "4")
    assert [update[card.strength] for card in compose.cards[:2]] == [1, 1]
    first = runner.open_picture(values, gr.EventData(None, {"name": next(iter(comparison.cells))}))
    assert [first[card.strength] for card in compose.cards[:2]] == [0.5, 0.5]
    assert first[compose.undo.stack][0].before[compose.prompt._id] == "something else"
    assert frame["maps"]["steps"] == 6
    assert (frame["labels"], frame["facts"][1]["seed"]) == ([["strength", "1"]], "4")
    assert history.get(name).zipped("text")  # what is made on demand can be made
    with pytest.raises(gr.Error, match="earlier comparison"):
        runner.open_picture(values | {runner.panel.comparison: Comparison()}, gr.EventData(None, {"name": name}))


def test_faults_are_said_before_anything_runs(runner: ComparisonRunner, values: Values) -> None:
    panel, prompt = runner.panel, runner.form.compose.prompt
    for change, says in (
        ({prompt: ""}, "prompt"),
        ({panel.omit: []}, "Choose what to leave out"),
        (grid_fields(runner, "seed", "1", "seed", "1"), "two different settings"),
        (grid_fields(runner, "strength", "9", "seed", "1"), "out of range"),
        (grid_fields(runner, "strength", "1", "steps", "99"), "The number of steps"),
    ):
        checking = runner.check(values | change)
        told = next(checking)[panel.summary]
        assert told["attempt"]
        assert says in told["error"]
        assert told["about"] == ([["strength", "1"], ["steps", "99"]] if says == "The number of steps" else [])
        with pytest.raises(gr.Error):
            next(checking)
    assert runner.service.log == []


def test_the_count_and_the_base_follow_the_fields(runner: ComparisonRunner, values: Values) -> None:
    told = runner.review(values)
    base = [["seed", "4"], ["steps", "6"], ["guidance", "3"], ["delay", "1"]]
    assert told[runner.panel.summary] == {
        "count": 7,
        "error": "",
        "about": [],
        "attempt": "",
        "common": base,
        "untrained": False,
    }
    assert '<mark style="--subject:' in told[runner.panel.prompt]
    wide = runner.review(values | {runner.form.settings.width: 384})
    assert wide[runner.panel.summary]["untrained"] is True
    assert runner.review(values | {runner.form.compose.prompt: ""})[runner.panel.prompt] == ""


def test_a_host_takes_fewer_pictures_and_keeps_less_of_them(photo: str) -> None:
    runner = comparison_runner(Service(StandIn(), hosted_limits()))  # type: ignore[arg-type]
    values = filled_fields(runner, photo) | {runner.form.settings.pictures: 1}
    told = runner.review(values | grid_fields(runner, "seed", "1-4", "strength", "0.5 1 1.5 2"))
    assert told[runner.panel.summary]["error"] == "4 × 4 are 16 pictures: ask for 12 at most here."
    assert len(variant_table(runner, values | grid_fields(runner, "seed", "1-4", "strength", "0.5 1 2")).variants) == 12
    comparison: Comparison = values[runner.panel.comparison]
    for _ in range(2):
        assert comparison.history._max_pictures == 12
        assert comparison.history._max_bytes == hosted_limits().history_mb * 2**20
        list(click_compare(runner, values | {runner.panel.omit: ["refiner"]}))


@pytest.mark.slow
def test_a_comparison_has_the_time_of_one_request(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second a step."""
    model, now = StandIn(), [0.0]
    monkeypatch.setattr("demo.server.service.time", SimpleNamespace(monotonic=lambda: now[0]))
    runner = comparison_runner(Service(model, Limits(run_seconds=10)))  # type: ignore[arg-type]
    values = filled_fields(runner, photo) | {runner.panel.omit: ["refiner", "all_photos"]}

    take = ComparisonGrid.take

    def tick(grid: ComparisonGrid, step: GridStep) -> None:
        now[0] += 1
        take(grid, step)

    monkeypatch.setattr(ComparisonGrid, "take", tick)
    with pytest.raises(gr.Error, match="A comparison may use the model for 10 seconds"):
        list(click_compare(runner, values))
    assert model.log[-1] == "cancelled"
    assert len(values[runner.panel.comparison].cells) == 1  # what is finished stays
