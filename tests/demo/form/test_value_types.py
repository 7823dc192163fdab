"""Values of the wrong type are refused by the name of their parameter."""

from __future__ import annotations

import math

import pytest

from demo.form.value_types import PARAMETERS, WHOLE, check_types, is_number, is_text
from mmdiff_core.errors import SettingsError


@pytest.mark.parametrize("value", [0, -3, 2.5, 10**30])
def test_numbers(value: float) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [True, "3", None, math.nan, math.inf, 10**400])
def test_what_is_no_number(value: object) -> None:
    assert not is_number(value)


def test_half_a_character_is_no_text() -> None:
    assert is_text("😀")
    assert not is_text("\ud83d")
    assert not is_text(3)


def test_null_is_taken_only_where_a_parameter_may_be_left_open() -> None:
    assert WHOLE.or_null.fits(None)
    assert not WHOLE.fits(None)
    assert WHOLE.fits(20.0)
    assert not WHOLE.fits(20.5)
    check_types({"steps": None, "guidance": 3, "prompt": "a cat", "without": ["refiner"]})
    with pytest.raises(SettingsError, match='"seed" must be a whole number, but is null'):
        check_types({"steps": None, "seed": None})


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(SettingsError) as refused:
        check_types({"without": "x" * 200})
    assert str(refused.value) == f'"without" must be a list of names, or null, but is "{"x" * 39}....'


def test_every_parameter_takes_its_usual_value() -> None:
    usual = {"prompt": "a cat", "negative_prompt": "", "noun": "cat", "sampler": "ddim", "without": []}
    usual |= {"balance_photos": False, "words": ["cat"], "concepts": ["dog"], "scale": "share"}
    check_types({name: usual.get(name, 1) for name in PARAMETERS})
