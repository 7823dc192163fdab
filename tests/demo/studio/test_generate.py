"""Generate and Stop: the check, the plan, the run."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demo.inspect.inspect_panel import PROMPT_ALONE
from demo.server.limits import local_limits
from demo.server.service import Service
from demo.studio.generate import GenerationRunner
from demo.studio.tab import StudioTab
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.words.word_notes import WordReader
from mmdiff_core.errors import PromptError
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from tests.helpers import tiny
from tests.helpers.stand_in import Values


def until_step(updates: Iterator[Any], step: int, picture: int = 1) -> None:
    """Take updates until a step of a picture has been shown."""
    for update in updates:
        live = getattr(update, "props", {}).get("live") or {}
        at = live.get("progress", {})
        if (at.get("picture"), at.get("step")) == (picture, step):
            return
    raise AssertionError("the run ended before")


def _run(generation: GenerationRunner, values: Values) -> Iterator[gr.HTML]:
    """Click on Generate."""
    (checked,) = generation.check(values)
    return generation.run(checked[generation.actions.planned], values[generation.result.history])


def test_a_fault_is_said_beside_its_field_before_anything_runs(generation: GenerationRunner, values: Values) -> None:
    checking = generation.check(values | {generation.form.compose.prompt: "a cat"})
    told = next(checking)[generation.form.errors]
    assert told["attempt"]
    assert told["errors"] == [
        {"place": "name-2", "text": "“robot” is not in the prompt yet.", "severity": "lacking"},
    ]
    with pytest.raises(gr.Error, match="robot") as raised:
        next(checking)
    assert raised.value.visible is False  # the page says it already
    assert generation.service.log == []


def test_a_name_that_only_the_english_prompt_has_is_said_with_it(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    compose.reader = WordReader(FIRST_WORLD)
    said = "“{}” is not in the prompt yet: the model reads English, so take the English prompt below it."
    told = next(generation.check(values | {compose.prompt: "海滩上的一只猫和一个机器人"}))[generation.form.errors]
    assert [error["text"] for error in told["errors"]] == [said.format("cat"), said.format("robot")]
    told = next(generation.check(values | {compose.prompt: "海滩上的一只猫"}))[generation.form.errors]
    assert [error["text"] for error in told["errors"]] == [said.format("cat"), "“robot” is not in the prompt yet."]


def test_generate_takes_the_name_that_is_left(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    compose.reader = WordReader(FIRST_WORLD)
    first = compose.cards[0]
    values = values | {first.name: "", compose.undo.stack: ()}
    (update,) = generation.check(values)
    assert update[first.name] == "cat"
    assert update[compose.undo.toast].value["what"] == "undo_name"
    assert update[generation.actions.planned].form.subjects[0].name == "cat"


def test_what_only_the_model_finds_is_said_as_well(
    generation: GenerationRunner, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PromptError("The subject comes too late in the prompt.")

    monkeypatch.setattr(generation.service, "plan", refuse)
    told = next(generation.check(values))[generation.form.errors]
    assert told["errors"] == [
        {"place": "prompt", "text": "The subject comes too late in the prompt.", "severity": "wrong"}
    ]


def test_a_check_gives_a_new_seed_only_where_one_is_wanted(generation: GenerationRunner, values: Values) -> None:
    settings = generation.form.settings
    (kept,) = generation.check(values)
    assert (kept[settings.seed], kept[settings.last_seed]) == ("4", 4)
    drawn = {next(generation.check(values | {settings.fresh: True}))[settings.seed] for _ in range(5)}
    assert len(drawn) > 1


def test_an_examples_seed_is_used_once_and_where_none_was_chosen(generation: GenerationRunner, values: Values) -> None:
    settings = generation.form.settings
    (own,) = generation.check(values | {settings.fresh: True, settings.next_seed: 11})
    assert (own[settings.seed], own[settings.next_seed]) == ("11", None)
    (chosen,) = generation.check(values | {settings.next_seed: 11})
    assert chosen[settings.seed] == "4"


def _over(history: History) -> Job:
    """The session's job once it is over."""
    assert history.job is not None
    for _ in history.job.follow():
        pass
    return history.job


def test_stop_ends_the_run_and_says_where(generation: GenerationRunner, values: Values) -> None:
    history = values[generation.result.history]
    run = _run(generation, values | {generation.form.settings.pictures: 2})
    assert next(run).props["live"]["progress"]["waiting"] == "looking_at_photos"
    assert generation.service.log == []  # Stop is heard from here on
    with generation.service.held(picture=1, step=3):
        until_step(run, 2)
        generation.halt(history)
        run.close()
    _over(history)
    assert generation.service.log == ["start (4, 5)", "cancelled"]
    shown = generation.rest(history)[generation.result.viewer].props
    assert shown["notice"] == ("stopped_in", {"n": 3, "m": 6, "picture": 1, "pictures": 2})
    assert shown["live"]["stopped"]  # the unfinished picture stays to be seen


def test_a_run_goes_on_when_nobody_watches(generation: GenerationRunner, values: Values) -> None:
    """Gradio closes the event of a browser that is gone; what comes back sees the run to its end."""
    history = values[generation.result.history]
    run = _run(generation, values | {generation.form.settings.pictures: 2})
    with generation.service.held(picture=2, step=3):
        until_step(run, 2, picture=2)
        run.close()
        assert history.is_busy
        followed = generation.follow(history)
        first = next(followed)[generation.result.viewer]
        assert len(first.value["pictures"]) == 1
        assert first.props["live"]["progress"]["picture"] == 2
    *watched, rested = followed
    *_, last = (update for step in watched if isinstance(update := step[generation.result.viewer], gr.HTML))
    assert len(last.value["pictures"]) == 2
    assert rested[generation.result.viewer].props["live"] is None
    assert generation.actions.generate in rested
    assert generation.service.log[-1] == "finished"
    assert len(history.entries) == 2


def test_what_ends_a_run_is_told_to_whoever_comes_back(generation: GenerationRunner, values: Values) -> None:
    history = values[generation.result.history]
    generation.service.fails_at = (1, 3)
    run = _run(generation, values)
    next(run)
    with pytest.raises(gr.Error, match="memory"):
        list(run)
    with pytest.raises(gr.Error, match="memory"):
        _over(history)
    assert not history.is_busy


def test_a_page_that_opens_finds_the_pictures_of_its_browser(generation: GenerationRunner, values: Values) -> None:
    result = generation.result
    first = generation.come_back({}, _request("one"))
    assert result.viewer not in first  # nothing yet
    history, keys = first[result.history], first[result.keys]
    list(_run(generation, values | {result.history: history, generation.form.settings.pictures: 2}))
    again = generation.come_back(keys, _request("two"))
    assert again[result.history] is history
    newest, older = again[result.viewer].value["pictures"]
    assert (newest["file"], older["file"]) == ("mm-diff-5.png", "mm-diff-4.png")
    assert newest["maps"]["steps"] == 6
    assert older["pending"]
    assert older["maps"]["steps"] == 0
    fetched = result._fetch(history, gr.EventData(None, {"name": older["name"]})).props["fetched"]
    assert fetched["maps"]["steps"] == 6
    stranger = generation.come_back({"tab": "guess"}, _request("three"))
    assert stranger[result.history] is not history


def _request(session: str) -> gr.Request:
    return gr.Request(session_hash=session)


def test_a_run_ends_with_every_picture(generation: GenerationRunner, values: Values) -> None:
    updates = list(_run(generation, values | {generation.form.settings.pictures: 2}))
    assert [picture["file"] for picture in updates[-1].value["pictures"]] == ["mm-diff-4.png", "mm-diff-5.png"]
    assert generation.service.log[-1] == "finished"


def test_a_new_seed_does_not_change_which_fields_the_errors_are_about(
    generation: GenerationRunner, values: Values
) -> None:
    """What is shown while typing must not take back what Generate has just said of the same fields."""
    form = generation.form
    in_vain = values | {form.compose.prompt: "a cat", form.settings.fresh: True}
    asked = next(generation.check(in_vain))[form.errors]
    shown = form._review(in_vain)[form.errors]
    assert shown["form"] == asked["form"]


@pytest.fixture
def inspecting(tmp_path: Path) -> tuple[GenerationRunner, Values]:
    """A studio around a stock model without an adapter, whose fields ask for a prompt alone."""
    model = tiny.personalizer("sd", tmp_path / "sd", with_adapter=False)
    tab = StudioTab(Service(model, local_limits()))
    with gr.Blocks():
        tab.render()
    form, result = tab.form, tab.generation.result
    values: Values = {field: getattr(field, "value", None) for field in form.fields}
    for card in form.compose.cards:
        values |= {card.name: "cat", card.photos: None, card.rejected: ()}
    values |= {form.compose.prompt: "a cat on sand", form.inspect.mode: PROMPT_ALONE, form.inspect.concepts: "dog"}
    values |= {form.settings.steps: 3, form.settings.seed: "4", form.settings.fresh: False}
    values |= {form.settings.width: 32, form.settings.height: 32}
    return tab.generation, values | {form.settings.next_seed: None, result.history: History()}


def test_a_prompt_alone_gives_a_picture_with_maps_of_all_its_words(
    inspecting: tuple[GenerationRunner, Values],
) -> None:
    generation, values = inspecting
    first, *_, last = _run(generation, values)
    assert first.props["live"]["progress"]["waiting"] == "waiting_for_first_step"
    (picture,) = last.value["pictures"]
    assert [part["name"] for part in picture["tokens"]["parts"]][:3] == ["a", "cat", "on"]
    assert picture["tokens"]["parts"][-1]["kind"] == "concept"
    assert picture["maps"]["steps"] == 3
    assert (picture["subjects"], picture["strip"]["h"] > 0) == ([], True)
    entry = values[generation.result.history].get(picture["name"])
    assert entry.map_bytes == entry.tokens.nbytes > 0
    form = generation.form
    back = form.restore(entry.record)
    assert (back[form.inspect.mode], back[form.inspect.concepts]) == (PROMPT_ALONE, "dog")
    assert not any(card.name in back for card in form.compose.cards)
    opened = form._recall({"link": picture["link"]["query"]})
    assert (opened[form.inspect.mode], opened[form.inspect.concepts]) == (PROMPT_ALONE, "dog")
    assert opened[form.compose.prompt] == "a cat on sand"


def test_an_empty_prompt_is_said_beside_the_field(inspecting: tuple[GenerationRunner, Values]) -> None:
    generation, values = inspecting
    told = next(generation.check(values | {generation.form.compose.prompt: " "}))[generation.form.errors]
    assert [(error["place"], error["severity"]) for error in told["errors"]] == [("prompt", "lacking")]


def test_the_maps_of_a_prompt_are_saved(inspecting: tuple[GenerationRunner, Values], tmp_path: Path) -> None:
    generation, values = inspecting
    *_, last = _run(generation, values)
    history, (frame,) = values[generation.result.history], last.value["pictures"]

    def ordered(**details: object) -> Path:
        event = gr.EventData(None, {"name": frame["name"], "scale": "contrast", **details})
        handler = generation.result._write if "suffix" in details else generation.result._pack
        return Path(handler(history, event)["file"]["path"])

    numbers = np.load(ordered(suffix="npz"))
    assert list(numbers["rows"][-1:]) == ["dog"]
    report = ordered(suffix="html").read_text(encoding="utf-8")
    assert "a cat on sand" in report
    with zipfile.ZipFile(ordered(kind="image")) as packed:
        names = packed.namelist()
    assert {"mm-diff-4.png", "mm-diff-4_maps.npz", "mm-diff-4_report.html", "reproduce.py"} <= set(names)
    assert any(name.endswith("_cat.png") for name in names)
    with pytest.raises(gr.Error, match="The scale must be one of share"):
        ordered(suffix="html", scale="loud")


def test_a_program_that_is_copied_makes_the_maps_again(
    inspecting: tuple[GenerationRunner, Values], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation, values = inspecting
    *_, last = _run(generation, values)
    (frame,) = last.value["pictures"]
    entry = values[generation.result.history].get(frame["name"])
    model = generation.service.model
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(type(model), "load", lambda *_, **__: model)
    exec(compile(frame["python"], "reproduce.py", "exec"), {})
    with Image.open("mm-diff-4.png") as again:
        assert again.tobytes() == entry.picture.image.tobytes()
    assert list(np.load("mm-diff-4-maps.npz")["rows"])[-1] == "dog"
