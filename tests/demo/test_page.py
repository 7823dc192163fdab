"""The page without a browser: what its events do, and what it offers to programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demo.form.examples import EXAMPLES, RandomToys
from demo.page import build_ui, launch_options
from demo.server.limits import MAX_SUBJECTS
from demo.studio.compose_panel import ComposePanel
from demo.studio.form_panel import FormPanel
from demo.studio.generate import GenerationRunner
from demo.studio.result_panel import ActionButtons, ResultPanel
from demo.studio.settings_panel import SettingsPanel
from demo.viewer.history import History, restorable, restore_message
from mmdiff_core.errors import PromptError
from tests.helpers.stand_in import Defaults, StandIn

Values = dict[Any, Any]


@pytest.fixture
def generation() -> GenerationRunner:
    model = StandIn()
    form = FormPanel(model, ComposePanel(RandomToys()), SettingsPanel(model))
    actions, result = ActionButtons(), ResultPanel()
    with gr.Blocks():
        for panel in (form, actions, result):
            panel.render()
        form.render_faults()
    return GenerationRunner(model, form, actions, result)


@pytest.fixture
def values(generation: GenerationRunner, photo: str) -> Values:
    """Two subjects in the first two cards."""
    compose = generation.form.compose
    values: Values = {field: field.value for field in generation.form.fields}
    values |= {compose.count: 3, compose.prompt: " a cat and a robot ", generation.form.settings.seed: 4}
    values[generation.form.settings.fresh] = False
    values[generation.result.history] = History()
    for card, name in zip(compose.cards, ("cat", "robot"), strict=False):
        values |= {card.name: name, card.photos: [(photo, None)]}
    for card in compose.cards[2:]:
        values |= {card.name: None, card.photos: None}  # as never-shown fields are
    return values


def _run(generation: GenerationRunner, values: Values) -> Iterator[gr.HTML]:
    """Click on Generate."""
    (checked,) = generation.check(values)
    return generation.run(checked[generation.actions.planned], values[generation.result.history])


def test_blank_cards_do_not_count(generation: GenerationRunner, values: Values) -> None:
    form = generation.form.read(values)
    assert form.prompt == "a cat and a robot"
    assert [(subject.slot, subject.name) for subject in form.subjects] == [(0, "cat"), (1, "robot")]


def test_what_a_saved_picture_asks_too_much_of_is_named(generation: GenerationRunner) -> None:
    form = generation.form
    record = restorable(
        {"prompt": "a cat", "steps": 150, "guidance": 40, "seed": 5, "sampler": "euler", "width": 64}
        | {"subjects": [{"name": f"toy {n}", "strength": 4 if n == 1 else 1, "photos": 1} for n in range(5)]}
    )
    assert form.refused(record) == [
        *("strength 4 of “toy 1”", "the subject “toy 4”"),
        *("steps 150", "guidance 40", "width 64", "sampler euler"),
    ]
    assert form.settings.steps not in form.restore(record)
    assert form.refused({"prompt": "a cat", "steps": 9, "sampler": None, "subjects": []}) == []


def test_cards_beyond_those_of_a_saved_picture_keep_their_photos(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    one = compose.restore({"subjects": [{"name": "fox", "strength": 1, "photos": 2}]})
    assert one[compose.cards[0].name] == "fox"
    assert one[compose.count] == 1
    assert all(card.photos not in one for card in compose.cards)
    assert compose.restore({"subjects": []}) == {}


def test_what_is_said_of_a_saved_picture() -> None:
    settings = {"model": "/models/sd", "subjects": [{"name": "cat", "region": [0, 0, 1, 1]}]}
    assert restore_message(settings, ["steps 150"], "toybox") == (
        "Prompt, names, strengths and settings are as they were, except for what the fields here cannot hold: steps "
        "150, regions. The picture is of another model, “sd”; here “toybox” is loaded. Photos are not inside a "
        "picture: the cards keep those they have; drop the others again."
    )
    assert restore_message({"model": "toybox", "subjects": []}, [], "toybox") == (
        "Prompt, names, strengths and settings are as they were. It was made without subjects: the cards stay as they "
        "are."
    )


def test_hidden_cards_do_not_count(generation: GenerationRunner, values: Values) -> None:
    form = generation.form.read(values | {generation.form.compose.count: 1})
    assert [subject.name for subject in form.subjects] == ["cat"]


def test_removing_a_card_moves_the_others_up(generation: GenerationRunner, values: Values, photo: str) -> None:
    compose = generation.form.compose
    update = compose._remove(0, values | {compose.cards[1].strength: 0.5})
    first, second = compose.cards[:2]
    assert (update[first.name], update[first.photos], update[first.strength]) == ("robot", [photo], 0.5)
    assert (update[second.name], update[second.photos]) == ("", None)
    assert update[compose.count] == 2
    assert compose.prompt not in update  # what was typed stays


def test_no_more_cards_than_there_are(generation: GenerationRunner) -> None:
    update = generation.form.compose._add(MAX_SUBJECTS)
    assert update[generation.form.compose.count] == MAX_SUBJECTS
    assert update[generation.form.compose.add]["visible"] is False


def test_an_example_fills_the_page(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    update = compose.fill(EXAMPLES[0].filling())
    assert update[compose.prompt] == EXAMPLES[0].prompt
    assert [update[card.name] for card in compose.cards] == ["cat", "robot", "", ""]
    assert set(update) <= set(compose.targets())


def test_an_example_that_two_people_pick_is_written_once(
    generation: GenerationRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    compose = generation.form.compose

    def pick() -> list[tuple[str, int, bytes]]:
        update = compose.fill(EXAMPLES[0].filling())
        paths = [Path(path) for card in compose.cards[:2] for path in update[card.photos]]
        return [(str(path), path.stat().st_ino, path.read_bytes()[:8]) for path in paths]

    first = pick()
    assert {magic for _, _, magic in first} == {b"\x89PNG\r\n\x1a\n"}
    assert pick() == first  # the first person's browser may be reading it


def test_the_die_writes_a_prompt_only_where_there_is_none(generation: GenerationRunner) -> None:
    compose, card = generation.form.compose, generation.form.compose.cards[0]
    update = compose._draw_toy(card, {card.name: "cat", card.strength: 0.5, compose.prompt: "my own cat"})
    assert (update[compose.prompt], update[card.strength]) == ("my own cat", 0.5)
    assert "cat" in compose._draw_toy(card, {card.name: "cat", card.strength: 1, compose.prompt: ""})[compose.prompt]


def test_a_fault_is_said_beside_its_field_before_anything_runs(generation: GenerationRunner, values: Values) -> None:
    checking = generation.check(values | {generation.form.compose.prompt: "a cat"})
    told = next(checking)[generation.form.faults]
    assert told["asked"]
    assert told["faults"] == [
        {"place": "name-2", "text": "“robot” is not in the prompt yet.", "level": "lacking"},
    ]
    with pytest.raises(gr.Error, match="robot") as raised:
        next(checking)
    assert raised.value.visible is False  # the page says it already
    assert generation.personalizer.log == []


def test_what_is_said_while_typing_names_the_fields_that_generate_was_asked_for(
    generation: GenerationRunner, values: Values
) -> None:
    form, in_vain = generation.form, values | {generation.form.compose.prompt: "a cat"}
    asked = next(generation.check(in_vain))[form.faults]
    assert form._review(in_vain)[form.faults]["of"] == asked["of"]  # it may come later, and says no more
    assert form._review(values)[form.faults]["of"] != asked["of"]


def test_what_only_the_model_finds_is_said_as_well(
    generation: GenerationRunner, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PromptError("The subject comes too late in the prompt.")

    monkeypatch.setattr(generation.personalizer, "plan", refuse)
    told = next(generation.check(values))[generation.form.faults]
    assert told["faults"] == [
        {"place": "prompt", "text": "The subject comes too late in the prompt.", "level": "wrong"}
    ]


def test_a_check_gives_a_new_seed_only_where_one_is_wanted(generation: GenerationRunner, values: Values) -> None:
    settings = generation.form.settings
    (kept,) = generation.check(values)
    assert (kept[settings.seed], kept[settings.last_seed]) == (4, 4)
    drawn = {next(generation.check(values | {settings.fresh: True}))[settings.seed] for _ in range(5)}
    assert len(drawn) > 1


# ---------------------------------------------------------------- chips


def _event(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def test_a_word_goes_to_one_subject_and_from_another(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    first, second, third, fourth = compose.cards
    update = compose._assign(_event(word="Robot", slot=0), values)
    assert (update[first.name], update[second.name]) == ("Robot", "")
    assert compose._assign(_event(word="cat", slot=None), values) == {first.name: ""}
    update = compose._assign(_event(word="and", slot=3), values)
    assert (update[compose.count], update[fourth.name]) == (4, "and")
    assert third.name not in update


def test_a_word_that_stands_twice_has_room_for_two(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    first, second, *_ = compose.cards
    update = compose._assign(_event(word="cat", slot=1), values | {compose.prompt: "a cat and a cat"})
    assert update == {second.name: "cat"}
    update = compose._assign(_event(word="cat", slot=1), values)
    assert update == {first.name: "", second.name: "cat"}


def test_a_dashed_chip_writes_its_name_into_the_prompt(generation: GenerationRunner) -> None:
    assert generation.form.compose._write(_event(name="owl"), "a cat") == "a cat and an owl"


# ---------------------------------------------------------------- records


def test_a_picture_s_settings_fill_the_fields(generation: GenerationRunner, values: Values) -> None:
    form, settings = generation.form, generation.form.settings
    compose = form.compose
    record = {
        "prompt": "a robot",
        "subjects": [{"name": "robot", "strength": 0.5, "photos": 3}],
        "seed": 77,
        "steps": 9,
        "guidance": 99,  # no good: stays out
        "parts": {"refiner": False},
        "sampler": "unipc",
        "binding": 0.4,
        "model": "unknown to the form",
    }
    update = form.restore(record)
    first, second, *_ = compose.cards
    assert (update[compose.prompt], update[compose.count]) == ("a robot", 1)
    assert (update[first.name], update[first.strength]) == ("robot", 0.5)
    assert first.photos not in update  # a picture does not hold its photos
    assert second.photos not in update  # it is only hidden
    assert (update[settings.seed], update[settings.fresh], update[settings.steps]) == (77, False, 9)
    assert settings.guidance not in update
    assert update[settings.parts] == ["vision_text", "image_branch", "null_token"]
    assert set(update) <= set(form.targets())
    read = form.read(values | {field: value for field, value in update.items() if field in values})
    request = read.request()
    assert (request.components.refiner, request.scheduler, request.word_gating) == (False, "unipc", 0.4)


def test_advice_touches_nothing_but_its_field(generation: GenerationRunner) -> None:
    form = generation.form
    assert form.restore({"start_step": 3})[form.settings.start_step] == 3
    assert len(form.restore({"start_step": 3})) == 2  # the number of cards is named and left alone
    assert form.restore({"strengths": {1: 0.7}})[form.compose.cards[1].strength] == 0.7
    assert form.restore({}) == {form.compose.count: gr.skip()}


def test_a_preset_keeps_the_proportion_of_steps_and_delay(generation: GenerationRunner) -> None:
    settings = generation.form.settings
    assert settings._preset("usual_steps") == (settings.defaults.steps, settings.defaults.start_step, "own")
    assert settings._preset("many_steps") == (12, 2, "own")
    assert settings._preset("few_steps") == (3, 0, "unipc")
    settings.fast = Defaults(steps=4, start_step=0)
    assert settings._preset("few_steps") == (4, 0, "own")


def test_closing_a_run_stops_the_model(generation: GenerationRunner, values: Values) -> None:
    run = _run(generation, values | {generation.form.settings.pictures: 2})
    assert next(run).props["live"]["progress"]["waiting"] == "looking_at_photos"
    assert generation.personalizer.log == []  # Stop is heard from here on
    next(run)
    run.close()
    assert generation.personalizer.log == ["start (4, 5)", "cancelled"]


def test_a_run_ends_with_every_picture(generation: GenerationRunner, values: Values) -> None:
    updates = list(_run(generation, values | {generation.form.settings.pictures: 2}))
    assert [picture["file"] for picture in updates[-1].value["pictures"]] == ["mm-diff-4.png", "mm-diff-5.png"]
    assert generation.personalizer.log[-1] == "finished"


def test_only_named_endpoints_are_public_and_one_model_runs_at_a_time() -> None:
    functions = build_ui(StandIn()).fns.values()
    public = {fn.api_name: fn for fn in functions if fn.api_visibility == "public"}
    assert set(public) == {"generate", "attention", "toy", "models"}
    heavy = [fn for fn in functions if fn.concurrency_id == "generation"]
    assert len(heavy) == 4
    assert {fn.concurrency_limit for fn in heavy} == {1}


def test_nothing_is_kept_or_counted() -> None:
    page = build_ui(StandIn())
    assert launch_options(page)["run_history"] is False
    assert page.analytics_enabled is False
