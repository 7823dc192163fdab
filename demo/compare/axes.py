"""The settings that a grid of pictures can run over, and the values that a person typed for them."""

from __future__ import annotations

import math
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
from demo.form.form import LAST_SEED, OWN_SAMPLER
from demo.server.limits import MAX_SUBJECTS
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import MAX_GUIDANCE, MAX_SCALE, MAX_STEPS, Components

if TYPE_CHECKING:
    from demo.server.service import Service

MAX_VALUES = 12
FIRST_ORDER = 0  # what other settings go by, or take back in part
_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class NumberAxis:
    """A setting. ``key`` is its label among the page's texts; ``suggestion`` stands in the field at first."""

    key: str
    suggestion: str
    least: float
    most: float
    change: Callable[[float, FormRequest], FormRequest]
    whole: bool = False
    multiple: int = 1
    order: int = 1  # of several changes

    def choices(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """One choice per value that was typed.

        Raises:
            SettingsError: there is no value, too many, or one that is no good.
        """
        values = list(dict.fromkeys(self._values(typed)))
        if not 1 <= len(values) <= MAX_VALUES:
            raise SettingsError(f"Give 1 to {MAX_VALUES} values, with blanks or commas between them.")
        labels = [VariantLabel(self.key, f"{value:.10g}") for value in values]
        changes = [partial(self.change, value) for value in values]
        return tuple(RequestChange(*pair, self.order) for pair in zip(labels, changes, strict=True))

    def _values(self, typed: str) -> Iterator[float]:
        for word in re.split(r"[\s,;]+", typed.strip().rstrip(",;")):
            span = _RANGE.fullmatch(word) if self.whole else None
            if span is None:
                yield self._value(word)
            else:
                first, last = (int(self._value(end)) for end in span.groups())
                yield from range(first, min(last, first + MAX_VALUES) + 1)

    def _value(self, word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise SettingsError(f"“{word}” is not a number." if word else "Give at least one value.") from None
        if not math.isfinite(value) or not self.least <= value <= self.most:
            raise SettingsError(f"“{word}” is out of range: from {self.least:g} to {self.most:g}.")
        if self.whole and value % self.multiple:
            kind = "a whole number" if self.multiple == 1 else f"a multiple of {self.multiple}"
            raise SettingsError(f"“{word}” is not {kind}.")
        return int(value) if self.whole else value


@dataclass(frozen=True)
class OmissionAxis:
    """An axis whose values are known: the case as it is, then with each of some things left out."""

    key: str
    wanted: Sequence[str]
    having: Components

    suggestion = ""

    def choices(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """``typed`` is not read."""
        return omissions(case, self.wanted, self.having)


@dataclass(frozen=True)
class SamplerAxis:
    """Samplers by their names, of ``known`` ones; ``OWN_SAMPLER`` is the model's own."""

    known: Sequence[str]
    key: str = "sampler"

    @property
    def suggestion(self) -> str:
        """All of them."""
        return f"{OWN_SAMPLER} {' '.join(self.known)}"

    def choices(self, typed: str, case: FormRequest) -> tuple[RequestChange, ...]:
        """One choice per name that was typed.

        Raises:
            SettingsError: there is none, or one is not known.
        """
        names = dict.fromkeys(re.split(r"[\s,;]+", typed.strip().rstrip(",;").lower()))
        return tuple(map(self._choice, names))

    def _choice(self, name: str) -> RequestChange:
        if name == OWN_SAMPLER:
            return RequestChange(VariantLabel("sampler_own"), partial(_with, "sampler", None))
        if name not in self.known:
            raise SettingsError(f"“{name}” is no sampler here: give some of {OWN_SAMPLER}, {', '.join(self.known)}.")
        return RequestChange(VariantLabel(self.key, name), partial(_with, "sampler", name))


Axis = NumberAxis | OmissionAxis | SamplerAxis


def comparison_axes(personalizer: Service) -> dict[str, Axis]:
    """Everything that a loaded model lets a person change, by key."""
    usual, sizes = personalizer.defaults, personalizer.sizes
    max_steps = min(MAX_STEPS, personalizer.limits.steps)
    steps, delay, guidance = usual.steps, usual.start_step, usual.guidance
    having = model_components(personalizer)
    axes: list[Axis] = [
        NumberAxis("seed", "0-2", 0, LAST_SEED, _with_seed, whole=True),
        NumberAxis("strength", "0.5 1 1.5", 0, MAX_SCALE, partial(_with_strength, None), order=FIRST_ORDER),
        *(
            NumberAxis(f"strength_{slot + 1}", "0.5 1 1.5", 0, MAX_SCALE, partial(_with_strength, slot))
            for slot in range(MAX_SUBJECTS)
        ),
        NumberAxis("delay", _around(delay, 0, steps // 2), 0, max_steps // 2, partial(_with, "start_step"), whole=True),
        NumberAxis("bound", "0 0.5 1", 0, 1, partial(_with, "binding")),
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
        SamplerAxis(personalizer.backbone.schedulers),
        OmissionAxis("parts", PART_NAMES, having),
        OmissionAxis("subjects", (EACH_SUBJECT,), having),
    ]
    if sizes.smallest < sizes.largest:
        suggestion = f"{sizes.default[0]} {min(sizes.largest, 2 * sizes.default[0])}"
        for side in ("width", "height"):
            axes.append(
                NumberAxis(side, suggestion, sizes.smallest, sizes.largest, partial(_with, side), True, sizes.multiple)
            )
    return {axis.key: axis for axis in axes}


def _around(value: int, least: int, most: int) -> str:
    """The lowest, the usual and the highest."""
    return " ".join(str(number) for number in sorted({least, value, max(most, least)}))


# ---------------------------------------------------------------- changes


def _with(name: str, value: float | str | None, case: FormRequest) -> FormRequest:
    change: dict[str, Any] = {name: value}
    return replace(case, request=replace(case.request, **change))


def _with_seed(value: float, case: FormRequest) -> FormRequest:
    return replace(case, request=replace(case.request, seeds=(int(value),)))


def _with_steps(value: float, case: FormRequest) -> FormRequest:
    """The delay keeps its part of the steps."""
    before, delay = case.request.steps, case.request.start_step
    if before and delay is not None:
        delay = min(round(delay / before * value), int(value))
    return replace(case, request=replace(case.request, steps=int(value), start_step=delay))


def _with_strength(slot: int | None, value: float, case: FormRequest) -> FormRequest:
    """Of one card, or of all."""
    slots = case.form.slots
    if slot is not None and slot not in slots:
        raise SettingsError(f"There is no subject {slot + 1} in the Studio.")
    subjects = tuple(
        replace(subject, scale=value) if slot in (None, own) else subject
        for own, subject in zip(slots, case.request.subjects, strict=True)
    )
    return replace(case, request=replace(case.request, subjects=subjects))
