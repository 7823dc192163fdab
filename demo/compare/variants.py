"""Variants of one request: something left out, or other settings, in every combination of two lists of choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from demo.form.form import Form
from mmdiff_core.errors import MMDiffError, SettingsError
from mmdiff_core.types import ALL_COMPONENTS, Components, GenerateRequest

if TYPE_CHECKING:
    from demo.server.service import Service

AS_COMPOSED = "as_composed"
EACH_SUBJECT, ALL_PHOTOS = "each_subject", "all_photos"
PART_NAMES = tuple(asdict(ALL_COMPONENTS))
LEAVE_OUT = (*PART_NAMES, EACH_SUBJECT, ALL_PHOTOS)  # what can be left out, one at a time
_WITHOUT = {
    "vision_text": "without_vision_text",
    "refiner": "without_refiner",
    "image_branch": "without_image_branch",
    "null_token": "without_null_token",
}


class VariantLabel(NamedTuple):
    """What a variant is called: a key of the page's texts, and a name or a number that goes into it."""

    key: str
    value: str = ""


@dataclass(frozen=True)
class FormRequest:
    """A request, and the form with the cards of its subjects."""

    form: Form
    request: GenerateRequest


@dataclass(frozen=True)
class RequestChange:
    """One way to change a case. Of two that are combined that of the lower order comes first."""

    label: VariantLabel
    change: Callable[[FormRequest], FormRequest]
    order: int = 1


@dataclass(frozen=True)
class RequestVariant:
    """A case at its place in the table, counted from 0, and what was changed about it."""

    column: int
    row: int
    labels: tuple[VariantLabel, ...]
    case: FormRequest


@dataclass(frozen=True)
class VariantTable:
    """Every combination of the choices across and down. An axis without a name has one choice and no heading.

    ``against_first``: the first picture is what the others are held against.
    """

    across: str | None
    down: str | None
    columns: tuple[VariantLabel, ...]
    rows: tuple[VariantLabel, ...]
    variants: tuple[RequestVariant, ...]
    against_first: bool = False


_ALONE = (RequestChange(VariantLabel(""), lambda case: case),)
_BASE = RequestChange(VariantLabel(AS_COMPOSED), lambda case: case)


def model_components(personalizer: Service) -> Components:
    """The parts of the method that the loaded weights have."""
    adapter = getattr(personalizer, "adapter", None)
    return ALL_COMPONENTS if adapter is None else adapter.config.components


def omissions(
    case: FormRequest, wanted: Sequence[str], having: Components = ALL_COMPONENTS
) -> tuple[RequestChange, ...]:
    """The case as it is, then with each of the wanted things left out.

    What changes nothing is not among them: a part that is off already or that the weights do not have, photos where
    there are none.
    """
    found = [_BASE]
    seen = [case.request]
    for choice in _omissions(case, wanted, having):
        request = choice.change(case).request
        if request not in seen:
            found.append(choice)
            seen.append(request)
    return tuple(found)


def variant_table(
    case: FormRequest,
    columns: Sequence[RequestChange],
    rows: Sequence[RequestChange] = _ALONE,
    across: str | None = None,
    down: str | None = None,
    against_first: bool = False,
    most: int | None = None,
) -> VariantTable:
    """Every combination, row by row; ``most`` is how many pictures may be asked for.

    Raises:
        SettingsError: there are too many, or a change is not possible.
    """
    count = len(columns) * len(rows)
    if most is not None and count > most:
        raise SettingsError(f"{len(columns)} × {len(rows)} are {count} pictures: ask for {most} at most here.")
    variants = tuple(
        RequestVariant(c, r, _labels(column, row), _changed(case, column, row))
        for (r, row), (c, column) in product(enumerate(rows), enumerate(columns))
    )
    names, heads = ([choice.label for choice in choices] for choices in (columns, rows))
    return VariantTable(across, down, tuple(names), tuple(heads), variants, against_first)


def labels_text(labels: Sequence[VariantLabel], texts: Mapping[str, str]) -> str:
    """The labels as a person reads them."""
    return " · ".join(_in_words(label, texts) for label in labels)


def error_about(error: MMDiffError, labels: Sequence[VariantLabel], texts: Mapping[str, str]) -> MMDiffError:
    """The error with the variant that it is about."""
    return type(error)(f"{labels_text(labels, texts)}: {error}")


def _in_words(label: VariantLabel, texts: Mapping[str, str]) -> str:
    text = texts[label.key]
    if "{name}" in text:
        return text.replace("{name}", label.value)
    return f"{text} {label.value}".strip()


def _labels(*changes: RequestChange) -> tuple[VariantLabel, ...]:
    return tuple(change.label for change in changes if change.label.key)


def _changed(case: FormRequest, *choices: RequestChange) -> FormRequest:
    for choice in sorted(choices, key=lambda choice: choice.order):
        case = choice.change(case)
    return case


# ---------------------------------------------------------------- leaving out

LAST = 2  # leaving out comes after all other changes


def _omissions(case: FormRequest, wanted: Sequence[str], having: Components) -> Iterator[RequestChange]:
    for part in PART_NAMES:
        if part in wanted and getattr(having, part):
            yield RequestChange(VariantLabel(_WITHOUT[part]), partial(_without_part, part), LAST)
    if EACH_SUBJECT in wanted:
        for number, subject in enumerate(case.form.subjects):
            yield RequestChange(VariantLabel("without_subject", subject.name), partial(_without_subject, number), LAST)
    if ALL_PHOTOS in wanted:
        yield RequestChange(VariantLabel("without_photos"), _without_photos, LAST)


def _without_part(part: str, case: FormRequest) -> FormRequest:
    components = replace(case.request.components, **{part: False})
    return replace(case, request=replace(case.request, components=components))


def _without_subject(number: int, case: FormRequest) -> FormRequest:
    """Its word stays in the prompt."""
    form, request = case.form, case.request
    kept = [i for i in range(len(request.subjects)) if i != number]
    return FormRequest(
        replace(form, subjects=tuple(form.subjects[i] for i in kept)),
        replace(request, subjects=tuple(request.subjects[i] for i in kept)),
    )


def _without_photos(case: FormRequest) -> FormRequest:
    return FormRequest(replace(case.form, subjects=()), replace(case.request, subjects=()))
