"""Errors in the fields: a sentence each, and the field that it stands beside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from demo.form.form import (
    EMPTY_ALONE,
    EMPTY_PROMPT,
    LEAST_IMAGE_STRENGTH,
    MAX_CONCEPTS,
    MAX_IMAGES,
    Form,
    Settings,
    StartPicture,
    SubjectForm,
)
from demo.form.prompt_words import found_subjects
from demo.form.value_types import MAX_SHOWN, as_typed
from mmdiff_core.encoders.name_matching import occurrences
from mmdiff_core.errors import MMDiffError, PhotoError, PromptError, SettingsError
from mmdiff_core.types import MAX_GUIDANCE, MAX_SCALE, MAX_SEED, MAX_STEPS, Size

NO_FIELD = ""  # the place of an error that belongs to no field

Severity = Literal["note", "lacking", "wrong"]


@dataclass(frozen=True)
class FieldError:
    """``place`` is the field's id on the page. A note only informs; the others keep Generate from starting."""

    place: str
    text: str
    severity: Severity = "wrong"

    @property
    def blocks(self) -> bool:
        """Whether it must be corrected before anything runs."""
        return self.severity != "note"


def errors_while_typing(
    form: Form, sizes: Size, max_steps: int = MAX_STEPS, english: str = ""
) -> tuple[FieldError, ...]:
    """Return the errors in what was typed so far; what is still missing altogether is none.

    ``english`` is what is offered below a prompt in another language.
    """
    found = found_subjects(form)
    rejected = [FieldError(f"photos-{slot + 1}", sentence, "note") for slot, sentence in form.rejected]
    subjects = [
        error for i, subject in enumerate(form.subjects) for error in _of_subject(subject, form, i in found, english)
    ]
    start = _of_start(form.start)
    return (*rejected, *_of_concepts(form.concepts), *subjects, *start, *_of_numbers(form.settings, sizes, max_steps))


def errors_on_submit(form: Form, sizes: Size, max_steps: int = MAX_STEPS, english: str = "") -> tuple[FieldError, ...]:
    """Return all errors once Generate was clicked, also about what is missing altogether."""
    missing = []
    if not form.subjects and not form.inspected:
        text = "There is no subject yet: drop a photo of one, or take a new toy."
        missing.append(FieldError("photos-1", text, "lacking"))
    if not form.prompt:
        text = EMPTY_ALONE if form.inspected else EMPTY_PROMPT
        missing.append(FieldError("prompt", text, "lacking"))
    return (*missing, *errors_while_typing(form, sizes, max_steps, english))


def field_error_of(error: MMDiffError, form: Form) -> FieldError:
    """Return an error that the model raised, with the field that it belongs to."""
    text = str(error)
    if isinstance(error, PromptError):
        return FieldError("concepts" if any(f'"{word}"' in text for word in form.concepts) else "prompt", text)
    if isinstance(error, PhotoError):
        named = [
            subject.slot for subject in form.subjects if f'"{subject.name}"' in text or f"({subject.name})" in text
        ]
        return FieldError(f"photos-{named[0] + 1 if named else 1}", text)
    return FieldError("settings" if isinstance(error, SettingsError) else NO_FIELD, text)


def _of_subject(subject: SubjectForm, form: Form, found: bool, english: str) -> Iterator[FieldError]:
    number, name = subject.slot + 1, subject.name
    if not subject.photos:
        yield FieldError(f"photos-{number}", f"“{name}” has no photo yet: drop one, or take a new toy.", "lacking")
    if not name:
        text = "Which word of the prompt do these photos show? Type it here, or click it below the prompt."
        yield FieldError(f"name-{number}", text, "lacking")
    elif form.prompt and not found and occurrences(english, name):
        text = f"“{name}” is not in the prompt yet: the model reads English, so take the English prompt below it."
        yield FieldError(f"name-{number}", text, "lacking")
    elif form.prompt and not found:
        yield FieldError(f"name-{number}", f"“{name}” is not in the prompt yet.", "lacking")
    yield from _number(f"strength-{number}", "strength", subject.strength, 0, MAX_SCALE, whole=False)


def _of_concepts(concepts: Sequence[str]) -> Iterator[FieldError]:
    if len(concepts) > MAX_CONCEPTS:
        left = ", ".join(concepts[MAX_CONCEPTS:])
        text = f"There are {len(concepts)} words, and at most {MAX_CONCEPTS} can have maps: leave out “{left}”."
        yield FieldError("concepts", text)


def _of_start(start: StartPicture | None) -> Iterator[FieldError]:
    if start is not None:
        what, most = "strength of the picture to start from", 1
        yield from _number("image-strength", what, start.strength, LEAST_IMAGE_STRENGTH, most, whole=False)


def _of_numbers(numbers: Settings, sizes: Size, max_steps: int) -> Iterator[FieldError]:
    yield from _number("steps", "number of steps", numbers.steps, 1, max_steps)
    yield from _number("guidance", "guidance", numbers.guidance, 1, MAX_GUIDANCE, whole=False)
    steps = numbers.steps if numbers.steps and 1 <= numbers.steps <= max_steps else max_steps
    yield from _number("start-step", "delay", numbers.start_step, 0, steps, limit="the number of steps")
    yield from _number("bound", "binding", numbers.binding, 0, 1, whole=False)
    yield from _number("guidance-rescale", "guidance rescale", numbers.guidance_rescale, 0, 1, whole=False)
    yield from _number("width", "width", numbers.width, sizes.smallest, sizes.largest, sizes.multiple)
    yield from _number("height", "height", numbers.height, sizes.smallest, sizes.largest, sizes.multiple)
    yield from _number("pictures", "number of pictures", numbers.pictures, 1, MAX_IMAGES)
    yield from _of_seed(numbers.seed)


def _of_seed(typed: float | str | None) -> Iterator[FieldError]:
    """At most one error, with what was typed."""
    if typed is None:
        yield FieldError("seed", f"The seed is empty: give a whole number from 0 to {MAX_SEED}.")
    elif isinstance(typed, str) or not 0 <= typed <= MAX_SEED or not float(typed).is_integer():
        shown = typed if isinstance(typed, str) else as_typed(typed)
        yield FieldError("seed", f"The seed must be a whole number from 0 to {MAX_SEED}; it is {shown[:MAX_SHOWN]}.")


def _number(
    place: str,
    what: str,
    value: float | None,
    minimum: float,
    maximum: float,
    multiple: int = 1,
    whole: bool = True,
    limit: str = "",
) -> Iterator[FieldError]:
    """At most one error; ``limit`` says what the maximum is."""
    kind = "a whole number" if whole else "a number"
    low, high = f"{minimum:g}", f"{maximum:.0f}" + (f", {limit}" if limit else "")
    if value is None or not math.isfinite(value):
        yield FieldError(place, f"The {what} is empty: give {kind} from {low} to {high}.")
    elif not minimum <= value <= maximum:
        yield FieldError(place, f"The {what} must be {kind} from {low} to {high}; it is {as_typed(value)}.")
    elif whole and value % multiple:
        kind = f"a multiple of {multiple}" if multiple > 1 else kind
        yield FieldError(place, f"The {what} must be {kind}; it is {as_typed(value)}.")


def first_blocking(errors: Sequence[FieldError]) -> FieldError | None:
    """Return what to correct first."""
    return next((error for error in errors if error.blocks), None)
