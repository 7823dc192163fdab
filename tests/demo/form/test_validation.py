from __future__ import annotations

from dataclasses import replace

import pytest

from demo.form.form import Form, Settings, SubjectForm
from demo.form.validation import FieldError, errors_on_submit, errors_while_typing, field_error_of, first_blocking
from mmdiff_core.errors import MMDiffError, ModelError, PhotoError, PromptError, SettingsError
from mmdiff_core.types import Size

SIZES = Size((256, 256), 128, 384, 64)
GOOD = Settings(seed=1, pictures=1, steps=20, guidance=3, start_step=5, width=256, height=256)


def _form(prompt: str = "a cat and a robot", settings: Settings = GOOD, **second: object) -> Form:
    robot = replace(SubjectForm(2, "robot", ("y.png",)), **second)  # type: ignore[arg-type]
    return Form(prompt, (SubjectForm(0, "cat", ("x.png",)), robot), settings)


def test_nothing_is_said_about_good_fields_nor_about_what_nobody_came_to_yet() -> None:
    assert errors_while_typing(_form(), SIZES) == ()
    assert errors_while_typing(Form("", (), GOOD), SIZES) == ()


@pytest.mark.parametrize(
    ("second", "place", "says"),
    [
        ({"name": ""}, "name-3", "Which word of the prompt"),
        ({"photos": ()}, "photos-3", "“robot” has no photo"),
        ({"name": "wizard"}, "name-3", "“wizard” is not in the prompt"),
        ({"strength": 4}, "strength-3", "from 0 to 3; it is 4"),
        ({"strength": None}, "strength-3", "strength is empty"),
    ],
)
def test_a_subject_s_fault_stands_beside_its_field(second: dict[str, object], place: str, says: str) -> None:
    (fault,) = errors_while_typing(_form(**second), SIZES)
    assert fault.place == place
    assert says in fault.text
    assert fault.blocks


@pytest.mark.parametrize(
    ("numbers", "place", "says"),
    [
        ({"steps": 500}, "steps", "from 1 to 200; it is 500"),
        ({"steps": None}, "steps", "steps is empty"),
        ({"steps": 9.5}, "steps", "whole number; it is 9.5"),
        ({"guidance": 0}, "guidance", "from 1 to 30"),
        ({"start_step": 21}, "start-step", "from 0 to 20, the number of steps"),
        ({"width": 200}, "width", "a multiple of 64; it is 200"),
        ({"height": 1024}, "height", "from 128 to 384"),
        ({"pictures": 5}, "pictures", "from 1 to 4"),
        ({"seed": -1}, "seed", "from 0 to 18446744073709551615; it is -1."),
        ({"seed": 6687880000000000001234}, "seed", "it is 6687880000000000001234."),
        ({"seed": "lucky"}, "seed", "it is lucky."),
        ({"seed": 1.5}, "seed", "it is 1.5."),
        ({"seed": None}, "seed", "seed is empty"),
        ({"steps": 1234567}, "steps", "it is 1234567."),
    ],
)
def test_a_number_s_fault_stands_beside_its_field(numbers: dict[str, float], place: str, says: str) -> None:
    (fault,) = errors_while_typing(_form(settings=replace(GOOD, **numbers)), SIZES)  # type: ignore[arg-type]
    assert fault.place == place
    assert says in fault.text


def test_photos_put_aside_are_told_and_hinder_nothing() -> None:
    form = replace(_form(), rejected=((1, "Left out: torn.png"),))
    faults = errors_while_typing(form, SIZES)
    assert faults == (FieldError("photos-2", "Left out: torn.png", "note"),)
    assert first_blocking(faults) is None


def test_generate_also_asks_for_what_is_missing_altogether() -> None:
    faults = errors_on_submit(Form("", (), GOOD), SIZES)
    assert [fault.place for fault in faults] == ["photos-1", "prompt"]
    assert first_blocking(faults) == faults[0]


@pytest.mark.parametrize(
    ("error", "place"),
    [
        (PromptError("too late in the prompt"), "prompt"),
        (PhotoError('The photo 1 of "robot" is damaged'), "photos-3"),
        (PhotoError('"x.png (cat)" is no picture'), "photos-1"),
        (SettingsError("The width must ..."), "settings"),
        (ModelError("no adapter"), ""),
    ],
)
def test_the_model_s_own_word_finds_its_place(error: MMDiffError, place: str) -> None:
    assert field_error_of(error, _form()) == FieldError(place, str(error))
