"""The page without a browser: what its events do, and what it offers to programs."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from demo.examples import EXAMPLES, ToyBox
from demo.form import SLOTS
from demo.handlers import Generation
from demo.panels.compose import ComposePanel
from demo.panels.result import ActionPanel, ResultPanel
from demo.panels.settings import SettingsPanel
from demo.ui import build_ui, launch_options
from tests.demo.stand_in import StandIn

Values = dict[Any, Any]


@pytest.fixture
def generation() -> Generation:
    model = StandIn()
    compose, settings, actions, result = ComposePanel(ToyBox()), SettingsPanel(model), ActionPanel(), ResultPanel()
    with gr.Blocks():
        for panel in (compose, settings, actions, result):
            panel.render()
    return Generation(model, compose, settings, actions, result)


@pytest.fixture
def values(generation: Generation, photo: str) -> Values:
    """Two subjects in the first two cards."""
    fields = {*generation.compose.fields, *generation.settings.fields}
    values: Values = {field: field.value for field in fields}
    compose = generation.compose
    values |= {compose.count: 3, compose.prompt: " a cat and a robot ", generation.settings.seed: 4}
    for card, name in zip(compose.cards, ("cat", "robot"), strict=False):
        values |= {card.name: name, card.photos: [(photo, None)]}
    for card in compose.cards[2:]:
        values |= {card.name: None, card.photos: None}  # as never-shown fields are
    return values


def test_blank_cards_do_not_count(generation: Generation, values: Values) -> None:
    form = generation.compose.read(values)
    assert form.prompt == "a cat and a robot"
    assert [(subject.slot, subject.name) for subject in form.subjects] == [(0, "cat"), (1, "robot")]


def test_hidden_cards_do_not_count(generation: Generation, values: Values) -> None:
    form = generation.compose.read(values | {generation.compose.count: 1})
    assert [subject.name for subject in form.subjects] == ["cat"]


def test_removing_a_card_moves_the_others_up(generation: Generation, values: Values, photo: str) -> None:
    compose = generation.compose
    update = compose._remove(0, values | {compose.cards[1].strength: 0.5})
    first, second = compose.cards[:2]
    assert (update[first.name], update[first.photos], update[first.strength]) == ("robot", [photo], 0.5)
    assert (update[second.name], update[second.photos]) == ("", None)
    assert update[compose.count] == 2
    assert compose.prompt not in update  # what was typed stays


def test_no_more_cards_than_there_are(generation: Generation) -> None:
    update = generation.compose._add(SLOTS)
    assert update[generation.compose.count] == SLOTS
    assert update[generation.compose.add]["visible"] is False


def test_an_example_fills_the_page(generation: Generation) -> None:
    compose = generation.compose
    update = compose.fill(EXAMPLES[0].filling())
    assert update[compose.prompt] == EXAMPLES[0].prompt
    assert [update[card.name] for card in compose.cards] == ["cat", "robot", "", ""]
    assert set(update) <= set(compose.targets())


def test_the_die_writes_a_prompt_only_where_there_is_none(generation: Generation) -> None:
    compose, card = generation.compose, generation.compose.cards[0]
    update = compose._roll(card, {card.name: "cat", compose.prompt: "my own cat"})
    assert update[compose.prompt] == "my own cat"
    assert "cat" in compose._roll(card, {card.name: "cat", compose.prompt: ""})[compose.prompt]


def test_a_fault_is_said_before_anything_runs(generation: Generation, values: Values) -> None:
    with pytest.raises(gr.Error, match='"robot" is not in the prompt') as raised:
        generation.check(values | {generation.compose.prompt: "a cat"})
    assert raised.value.print_exception is False
    assert generation.personalizer.log == []


def test_a_check_gives_a_new_seed_only_where_one_is_wanted(generation: Generation, values: Values) -> None:
    fresh, seed = generation.settings.fresh, generation.settings.seed
    assert seed in generation.check(values | {fresh: True})
    assert seed not in generation.check(values | {fresh: False})


def test_closing_a_run_stops_the_model(generation: Generation, values: Values) -> None:
    run = generation.run(values | {generation.settings.pictures: 2})
    assert "photos" in next(run).props["live"]["progress"]["text"]
    assert generation.personalizer.log == []  # Stop is heard from here on
    next(run)
    run.close()
    assert generation.personalizer.log == ["start (4, 5)", "cancelled"]


def test_a_run_ends_with_every_picture(generation: Generation, values: Values) -> None:
    updates = list(generation.run(values | {generation.settings.pictures: 2}))
    assert [picture["file"] for picture in updates[-1].value["pictures"]] == ["mm-diff-4.png", "mm-diff-5.png"]
    assert generation.personalizer.log[-1] == "finished"


def test_only_named_endpoints_are_public_and_one_model_runs_at_a_time() -> None:
    functions = build_ui(StandIn()).fns.values()
    public = {fn.api_name: fn for fn in functions if fn.api_visibility == "public"}
    assert set(public) == {"generate", "attention", "toy"}
    heavy = [fn for fn in functions if fn.concurrency_id == "generation"]
    assert len(heavy) == 3
    assert {fn.concurrency_limit for fn in heavy} == {1}


def test_nothing_is_kept_or_counted() -> None:
    assert launch_options()["run_history"] is False
    assert build_ui(StandIn()).analytics_enabled is False
