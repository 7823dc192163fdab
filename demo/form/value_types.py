"""The types of the endpoints' parameters, checked here: programs send any JSON."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from mmdiff_core.errors import SettingsError

MAX_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class ValueType:
    """A type of value; ``name`` is its name in messages."""

    name: str
    fits: Callable[[object], bool]

    @property
    def or_null(self) -> ValueType:
        """The same type for parameters that may be null."""
        return ValueType(f"{self.name}, or null", lambda value: value is None or self.fits(value))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number; True and False are not."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def as_typed(value: float) -> str:
    """Return a number as a person writes it: 7 for 7.0, and all of its digits."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 10**MAX_SHOWN else f"{value:.15g}"


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that can be encoded; JSON can also hold halves of characters."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_controls(text: str) -> str:
    """Return text without its control characters, which fields show as boxes; line breaks and tabs stay."""
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) != "Cc")


TEXT = ValueType("text", is_text)
NUMBER = ValueType("a number", is_number)
WHOLE = ValueType("a whole number", lambda value: is_number(value) and float(value).is_integer())
YES_OR_NO = ValueType("true or false", lambda value: isinstance(value, bool))
NAMES = ValueType("a list of names", lambda value: isinstance(value, list) and all(map(is_text, value)))

PARAMETERS: Mapping[str, ValueType] = {
    "prompt": TEXT,
    "negative_prompt": TEXT,
    "seed": WHOLE,
    "pictures": WHOLE,
    "steps": WHOLE.or_null,
    "guidance": NUMBER.or_null,
    "start_step": WHOLE.or_null,
    "width": WHOLE.or_null,
    "height": WHOLE.or_null,
    "sampler": TEXT.or_null,
    "binding": NUMBER,
    "clip_skip": WHOLE,
    "guidance_rescale": NUMBER,
    "balance_photos": YES_OR_NO,
    "without": NAMES.or_null,
    "words": NAMES.or_null,
    "concepts": NAMES.or_null,
    "scale": TEXT,
    "image_strength": NUMBER.or_null,
    "noun": TEXT,
    "views": WHOLE,
}


def check_types(given: Mapping[str, object]) -> None:
    """Check that values have the types of their parameters.

    Args:
        given: values by the names of their parameters.

    Raises:
        SettingsError: one has not; the message names the parameter and its type.
    """
    for name, value in given.items():
        kind = PARAMETERS[name]
        if not kind.fits(value):
            shown = json.dumps(value)
            shown = shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}..."
            raise SettingsError(f'"{name}" must be {kind.name}, but is {shown}.')
