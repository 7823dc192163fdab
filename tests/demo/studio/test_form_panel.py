"""The fields as a whole: filled from a record, and read again."""

from __future__ import annotations

import gradio as gr

from demo.form.form import typed_seed
from demo.studio.generate import GenerationRunner
from demo.viewer.saved_picture import restorable
from tests.helpers.stand_in import Values


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


def test_what_is_said_while_typing_names_the_fields_that_generate_was_asked_for(
    generation: GenerationRunner, values: Values
) -> None:
    form, in_vain = generation.form, values | {generation.form.compose.prompt: "a cat"}
    asked = next(generation.check(in_vain))[form.errors]
    assert form._review(in_vain)[form.errors]["form"] == asked["form"]  # it may come later, and says no more
    assert form._review(values)[form.errors]["form"] != asked["form"]


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
    assert (update[settings.seed], update[settings.fresh], update[settings.steps]) == ("77", False, 9)
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


def test_every_seed_that_torch_takes_can_be_typed_and_comes_back(generation: GenerationRunner) -> None:
    """As text: a browser rounds numbers above 2**53."""
    panel, largest = generation.form, 2**64 - 1
    settings = panel.settings
    assert panel.restore({"seed": largest})[settings.seed] == str(largest)
    assert panel.restore({"seed": str(largest)})[settings.seed] == str(largest)
    for refused in (largest + 1, -1, "lucky", 1.5, True):
        assert settings.seed not in panel.restore({"seed": refused})
    for typed, read in ((f" {largest} ", largest), ("", None), ("lucky", "lucky"), ("-1", -1)):
        assert typed_seed(typed) == read


def test_a_link_goes_before_the_browser_s_draft(generation: GenerationRunner) -> None:
    """It fills in every setting, empties cards whose photos it lacks, and says what is missing."""
    form = generation.form
    draft = {"model": form.service.backbone.display_name, "prompt": "old", "count": 1, "steps": 9}
    first = form.compose.cards[0]
    assert form._recall(draft)[form.compose.prompt] == "old"
    update = form._recall(draft | {"link": "?prompt=a+dog&seed=7&steps=999&subject=dog~2~&model=Other"})
    assert (update[form.compose.prompt], update[first.name], update[first.photos]) == ("a dog", "dog", None)
    assert (update[form.settings.seed], update[form.settings.negative_prompt]) == ("7", "")
    assert form.settings.steps not in update
    said = " ".join(update[form.linked])
    assert "add those of “dog”" in said
    assert "Not taken over: steps 999." in said
    assert "of another model, “Other”" in said
    broken = form._recall({"link": "?prompt="})
    assert broken[form.linked] == ["The link is damaged or too long: ask for it again."]
    assert form.compose.prompt not in broken
