"""The settings that a grid can vary, and the values that a person types for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from demo.compare.variants import (
    EACH_SUBJECT,
    PART_NAMES,
    FormRequest,
    RequestChange,
    VariantLabel,
    model_components,
    omissions,
)
from demo.form.form import OWN_SAMPLER
from demo.form.value_types import as_typed
from demo.server.limits import MAX_SUBJECTS
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import MAX_GUIDANCE, MAX_SCALE, MAX_SEED, MAX_STEPS, Components

if TYPE_CHECKING:
    from demo.server.service import Service

MAX_VALUES = 12
FIRST_ORDER = 0  # of changes that others depend on, or undo in part
_HALF_RANGE = re.compile(r"[\d.]+[-–]")
_RANGE = re.compile(r"([\d.]+)[-–]([\d.]+)")


@dataclass(frozen=True)
class NumberAxis:
    """A setting that is a number. ``key`` is that of its label; ``suggestion`` is what the field holds at first."""

    key: str
    suggestion: str
    minimum: float
    maximum: float
    change: Callable[[float, FormRequest], FormRequest]
    whole: bool = False
    multiple: int = 1
    order: int = 1  # of several changes

    def changes(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """Return a change per typed value.

        Raises:
            SettingsError: there is no value, too many, or one that is not valid.
        """
        values = list(dict.fromkeys(self._values(typed)))
        if len(values) > MAX_VALUES:
            raise SettingsError(f"{len(values)} values are too many: give at most {MAX_VALUES}.")
        labels = [VariantLabel(self.key, as_typed(value)) for value in values]
        changes = [partial(self.change, value) for value in values]
        return tuple(RequestChange(*pair, self.order) for pair in zip(labels, changes, strict=True))

    def _values(self, typed: str) -> Iterator[float]:
        for word in re.split(r"[\s,;]+", typed.strip().rstrip(",;")):
            span = _RANGE.fullmatch(word)
            if span is None:
                yield self._value(word)
            else:
                yield from self._range(word, *(self._value(end) for end in span.groups()))

    def _range(self, word: str, first: float, last: float) -> range:
        """Return the whole numbers of a range, or the multiples, such as sizes, that it takes."""
        if first % 1 or last % 1:
            raise SettingsError(f"“{word}” has fractions, so list its values, as in 0.1 0.5 0.9.")
        if first > last:
            raise SettingsError(f"“{word}” runs backwards: put the lower number first.")
        values = range(int(first), int(last) + 1, self.multiple)
        if len(values) > MAX_VALUES:
            raise SettingsError(f"“{word}” is {len(values)} values: give at most {MAX_VALUES}.")
        return values

    def _value(self, word: str) -> float:
        try:
            value = int(word) if self.whole and word.isdecimal() else float(word)  # floats have no 20 digits
        except ValueError:
            if not word:
                raise SettingsError("Give at least one value.") from None
            if _HALF_RANGE.fullmatch(word):
                raise SettingsError(f"“{word}” is half of a range: give both ends, as in 1-4.") from None
            raise SettingsError(f"“{word}” is not a number.") from None
        if not self.minimum <= value <= self.maximum:
            raise SettingsError(f"“{word}” is out of range: from {as_typed(self.minimum)} to {as_typed(self.maximum)}.")
        if self.whole and value % self.multiple:
            kind = "a whole number" if self.multiple == 1 else f"a multiple of {self.multiple}"
            raise SettingsError(f"“{word}” is not {kind}.")
        return int(value) if self.whole else value


@dataclass(frozen=True)
class OmissionAxis:
    """An axis with known values: the request as it is, then with each of some things left out."""

    key: str
    keys: Sequence[str]
    components: Components

    suggestion = ""

    def changes(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """Return a change per thing to leave out; ``typed`` is not read."""
        return omissions(case, self.keys, self.components)


@dataclass(frozen=True)
class SamplerAxis:
    """Samplers by their names; ``OWN_SAMPLER`` is the model's own."""

    known: Sequence[str]
    key: str = "sampler"

    @property
    def suggestion(self) -> str:
        """All samplers."""
        return f"{OWN_SAMPLER} {' '.join(self.known)}"

    def changes(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """Return a change per typed name.

        Raises:
            SettingsError: there is no name, or an unknown one.
        """
        names = dict.fromkeys(re.split(r"[\s,;]+", typed.strip().rstrip(",;").lower()))
        return tuple(map(self._change, names))

    def _change(self, name: str) -> RequestChange:
        if name == OWN_SAMPLER:
            return RequestChange(VariantLabel("sampler_own"), partial(_with, "scheduler", None))
        if name not in self.known:
            raise SettingsError(f"“{name}” is not a sampler here: choose from {OWN_SAMPLER}, {', '.join(self.known)}.")
        return RequestChange(VariantLabel(self.key, name), partial(_with, "scheduler", name))


Axis = NumberAxis | OmissionAxis | SamplerAxis


def comparison_axes(service: Service) -> dict[str, Axis]:
    """Return what a person can vary with a loaded model, by key."""
    defaults, sizes = service.defaults, service.sizes
    max_steps = min(MAX_STEPS, service.limits.steps)
    steps, delay, guidance = defaults.steps, defaults.start_step, defaults.guidance
    components = model_components(service)
    axes: list[Axis] = [
        NumberAxis("seed", "0-2", 0, MAX_SEED, _with_seed, whole=True),
        NumberAxis("strength", "0.5 1 1.5", 0, MAX_SCALE, partial(_with_strength, None), order=FIRST_ORDER),
        *(
            NumberAxis(f"strength_{slot + 1}", "0.5 1 1.5", 0, MAX_SCALE, partial(_with_strength, slot))
            for slot in range(MAX_SUBJECTS)
        ),
        NumberAxis("delay", _around(delay, 0, steps // 2), 0, max_steps // 2, partial(_with, "start_step"), whole=True),
        NumberAxis("bound", "0 0.5 1", 0, 1, partial(_with, "word_gating")),
        NumberAxis("guidance", f"1 {guidance:g} {2 * guidance:g}", 1, MAX_GUIDANCE, partial(_with, "guidance")),
        NumberAxis(
            "steps",
            _around(steps, max(1, steps // 2), min(2 * steps, max_steps)),
            1,
            max_steps,
            _with_steps,
            True,
            order=FIRST_ORDER,
        ),
        SamplerAxis(service.backbone.schedulers),
        OmissionAxis("parts", PART_NAMES, components),
        OmissionAxis("subjects", (EACH_SUBJECT,), components),
    ]
    if sizes.smallest < sizes.largest:
        for place, side in enumerate(("width", "height")):
            suggestion = " ".join(map(str, sorted({size[place] for size in sizes.made_for})))
            axes.append(
                NumberAxis(side, suggestion, sizes.smallest, sizes.largest, partial(_with, side), True, sizes.multiple)
            )
    return {axis.key: axis for axis in axes}


def _around(default: int, low: int, high: int) -> str:
    """The lowest value, the default and the highest."""
    return " ".join(str(number) for number in sorted({low, default, max(high, low)}))


# ---------------------------------------------------------------- changes


def _with(name: str, value: float | str | None, case: FormRequest) -> FormRequest:
    change: dict[str, Any] = {name: value}
    return replace(case, request=replace(case.request, **change))


def _with_seed(value: float, case: FormRequest) -> FormRequest:
    return replace(case, request=replace(case.request, seeds=(int(value),)))


def _with_steps(value: float, case: FormRequest) -> FormRequest:
    """The delay keeps its share of the steps."""
    before, delay = case.request.steps, case.request.start_step
    if before and delay is not None:
        delay = min(round(delay / before * value), int(value))
    return replace(case, request=replace(case.request, steps=int(value), start_step=delay))


def _with_strength(slot: int | None, value: float, case: FormRequest) -> FormRequest:
    """The strength of one card, or of all."""
    slots = case.form.slots
    if slot is not None and slot not in slots:
        raise SettingsError(f"There is no subject {slot + 1} in the Studio.")
    subjects = tuple(
        replace(subject, scale=value) if slot in (None, own) else subject
        for own, subject in zip(slots, case.request.subjects, strict=True)
    )
    return replace(case, request=replace(case.request, subjects=subjects))
