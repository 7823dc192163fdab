"""Generate and Stop: the check, the plan, the run."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr
import pytest

from demo.studio.generate import GenerationRunner
from mmdiff_core.errors import PromptError
from tests.helpers.stand_in import Values


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
    assert (kept[settings.seed], kept[settings.last_seed]) == (4, 4)
    drawn = {next(generation.check(values | {settings.fresh: True}))[settings.seed] for _ in range(5)}
    assert len(drawn) > 1


def test_an_examples_seed_is_used_once_and_where_none_was_chosen(generation: GenerationRunner, values: Values) -> None:
    settings = generation.form.settings
    (own,) = generation.check(values | {settings.fresh: True, settings.next_seed: 11})
    assert (own[settings.seed], own[settings.next_seed]) == (11, None)
    (chosen,) = generation.check(values | {settings.next_seed: 11})
    assert chosen[settings.seed] == 4


def test_closing_a_run_stops_the_model(generation: GenerationRunner, values: Values) -> None:
    run = _run(generation, values | {generation.form.settings.pictures: 2})
    assert next(run).props["live"]["progress"]["waiting"] == "looking_at_photos"
    assert generation.service.log == []  # Stop is heard from here on
    next(run)
    run.close()
    assert generation.service.log == ["start (4, 5)", "cancelled"]


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
