"""Variants of one request: something left out, or other settings, in every combination of two lists of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from demo.form.form import Form
from mmdiff_core.encoders.name_matching import distinct_names
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
    """The name of a variant: the key of a text, and a name or a number that goes into it."""

    key: str
    value: str = ""


@dataclass(frozen=True)
class FormRequest:
    """A request, and the form with the cards of its subjects."""

    form: Form
    request: GenerateRequest


@dataclass(frozen=True)
class RequestChange:
    """One way to change a request. Of two changes that of the lower order comes first."""

    label: VariantLabel
    change: Callable[[FormRequest], FormRequest]
    order: int = 1


@dataclass(frozen=True)
class RequestVariant:
    """A request at its place in the table, counted from 0, and the labels of its changes."""

    column: int
    row: int
    labels: tuple[VariantLabel, ...]
    case: FormRequest


@dataclass(frozen=True)
class VariantTable:
    """Every combination of the changes across and down. An axis without a name has one change and no heading.

    ``against_first``: the other pictures are compared with the first.
    """

    across: str | None
    down: str | None
    columns: tuple[VariantLabel, ...]
    rows: tuple[VariantLabel, ...]
    variants: tuple[RequestVariant, ...]
    against_first: bool = False


_UNCHANGED = (RequestChange(VariantLabel(""), lambda case: case),)
_AS_COMPOSED = RequestChange(VariantLabel(AS_COMPOSED), lambda case: case)


def model_components(service: Service) -> Components:
    """Return the parts of the method that the loaded weights have."""
    adapter = getattr(service, "adapter", None)
    return ALL_COMPONENTS if adapter is None else adapter.config.components


def omissions(
    case: FormRequest, keys: Sequence[str], components: Components = ALL_COMPONENTS
) -> tuple[RequestChange, ...]:
    """Return the request as it is, then changes that each leave out one thing.

    Changes without an effect are left out: of a part that is off already or that the weights do not have, of photos
    where there are none.
    """
    changes = [_AS_COMPOSED]
    seen = [case.request]
    for change in _omissions(case, keys, components):
        request = change.change(case).request
        if request not in seen:
            changes.append(change)
            seen.append(request)
    return tuple(changes)


class VariantError(MMDiffError):
    """A variant cannot be made; the message is that of the error, and ``labels`` are those of the variant."""

    def __init__(self, error: MMDiffError, labels: Sequence[VariantLabel]) -> None:
        super().__init__(str(error))
        self.labels = tuple(labels)


def variant_table(
    case: FormRequest,
    columns: Sequence[RequestChange],
    rows: Sequence[RequestChange] = _UNCHANGED,
    across: str | None = None,
    down: str | None = None,
    against_first: bool = False,
    max_pictures: int | None = None,
) -> VariantTable:
    """Return every combination of two lists of changes, row by row.

    Raises:
        SettingsError: there are more than ``max_pictures``, or a change is not possible.
    """
    count = len(columns) * len(rows)
    if max_pictures is not None and count > max_pictures:
        raise SettingsError(f"{len(columns)} × {len(rows)} are {count} pictures: ask for {max_pictures} at most here.")
    variants = tuple(
        RequestVariant(c, r, _labels(column, row), _changed(case, column, row))
        for (r, row), (c, column) in product(enumerate(rows), enumerate(columns))
    )
    names, heads = ([change.label for change in changes] for changes in (columns, rows))
    return VariantTable(across, down, tuple(names), tuple(heads), variants, against_first)


def _labels(*changes: RequestChange) -> tuple[VariantLabel, ...]:
    return tuple(change.label for change in changes if change.label.key)


def _changed(case: FormRequest, *changes: RequestChange) -> FormRequest:
    for change in sorted(changes, key=lambda change: change.order):
        case = change.change(case)
    return case


# ---------------------------------------------------------------- leaving out

LAST_ORDER = 2  # leaving out comes after all other changes


def _omissions(case: FormRequest, keys: Sequence[str], components: Components) -> Iterator[RequestChange]:
    for part in PART_NAMES:
        if part in keys and getattr(components, part):
            yield RequestChange(VariantLabel(_WITHOUT[part]), partial(_without_part, part), LAST_ORDER)
    if EACH_SUBJECT in keys:
        for number, name in enumerate(distinct_names([subject.name for subject in case.form.subjects])):
            yield RequestChange(VariantLabel("without_subject", name), partial(_without_subject, number), LAST_ORDER)
    if ALL_PHOTOS in keys:
        yield RequestChange(VariantLabel("without_photos"), _without_photos, LAST_ORDER)


def _without_part(part: str, case: FormRequest) -> FormRequest:
    components = replace(case.request.components, **{part: False})
    return replace(case, request=replace(case.request, components=components))


def _without_subject(number: int, case: FormRequest) -> FormRequest:
    """The subject's word stays in the prompt."""
    form, request = case.form, case.request
    kept = [i for i in range(len(request.subjects)) if i != number]
    return FormRequest(
        replace(form, subjects=tuple(form.subjects[i] for i in kept)),
        replace(request, subjects=tuple(request.subjects[i] for i in kept)),
    )


def _without_photos(case: FormRequest) -> FormRequest:
    return FormRequest(replace(case.form, subjects=()), replace(case.request, subjects=()))
