"""What a picture's binding means in words, and what to change about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from mmdiff_core.binding import Binding

SERIOUS = 0.2  # of a subject's attention; a smaller part on another subject is common in well bound pictures
LOST = 0.01  # of the picture: a region so small holds no subject
CLOSE = 0.08  # of the diagonal, between two peaks
LONGEST_DELAY = 0.3  # of the steps; photos that join later come too late to shape the subjects
WEAKEST, STRONGEST, NUDGE = 0.5, 2.0, 0.2  # strengths


class Advice(TypedDict):
    """A sentence, and the change that its button makes; None: no button.

    The change is ``{"start_step": number}`` or ``{"strengths": {slot: number}}``, with slots as text, as JSON has them.
    """

    text: str
    change: dict[str, Any] | None


class PackedBinding(TypedDict):
    """A binding as the viewer shows it; lists count the picture's subjects."""

    shares: list[list[float]]
    elsewhere: list[float]
    coverage: list[float]
    overlap: list[list[float]]
    distances: list[list[float]]
    advice: Advice


@dataclass(frozen=True)
class Case:
    """A picture to give advice on.

    Attributes:
        binding: what was measured.
        names: the subjects' words.
        slots: the subjects' cards.
        settings: the picture's settings.
    """

    binding: Binding
    names: Sequence[str]
    slots: Sequence[int]
    settings: Mapping[str, Any]

    @property
    def strengths(self) -> list[float]:
        """One per subject."""
        return [float(subject["strength"]) for subject in self.settings["subjects"]]

    @property
    def delay(self) -> int:
        """Steps of plain text at the start."""
        return int(self.settings["start_step"])


def pack_binding(case: Case) -> PackedBinding:
    """Numbers and advice."""
    binding = case.binding
    return {
        "shares": binding.shares.round(4).tolist(),
        "elsewhere": binding.elsewhere.round(4).tolist(),
        "coverage": binding.coverage.round(4).tolist(),
        "overlap": binding.overlap.round(4).tolist(),
        "distances": binding.distances.round(4).tolist(),
        "advice": advise(case),
    }


def advise(case: Case) -> Advice:
    """The gravest finding: an empty map, a subject without a place, a leak, two at one spot; else that all is well."""
    binding, names = case.binding, case.names
    if binding.flat.any():
        flat = " and ".join(name for name, flat in zip(names, binding.flat, strict=True) if flat)
        return _say(f"The map of {flat} is even all over: there is nothing to measure. Try another kind of heatmap.")
    close = [(i, j) for i, j in zip(*(binding.distances < CLOSE).nonzero(), strict=True) if i < j]
    if close:
        one, two = (names[i] for i in close[0])
        return _say(f"{one} and {two} peak at the same spot. Say where each is, as in “next to”, or try another seed.")
    for i, j in binding.leaks:
        if binding.shares[i, j] >= SERIOUS:
            return _leak(case, i, j)
    lost = [i for i, part in enumerate(binding.coverage) if part < LOST]
    return _lost(case, lost[0]) if lost else _well(case)


def _leak(case: Case, i: int, j: int) -> Advice:
    """Photos that join later find the subjects' places settled by the words; then a weaker image term."""
    name = case.names[i]
    share = _percent(case.binding.shares[i, j])
    text = f"The look of {name} may leak into {case.names[j]}: {share} of its attention lies there."
    steps = int(case.settings["steps"])
    later = min(case.delay + max(1, round(steps / 10)), int(LONGEST_DELAY * steps))
    if later > case.delay:
        return _say(f"{text} Try a delay of {later}: the words then settle who is where.", {"start_step": later})
    weaker = round(case.strengths[i] - NUDGE, 2)
    if weaker >= WEAKEST:
        return _say(f"{text} Try a strength of {weaker:g} for {name}.", {"strengths": {str(case.slots[i]): weaker}})
    return _say(f"{text} Try another seed, or say where each is, as in “next to”.")


def _lost(case: Case, i: int) -> Advice:
    """Photos that join sooner shape more; then a stronger image term."""
    name = case.names[i]
    text = f"No part of the picture belongs to {name}: it may be missing, or blended into another subject."
    if case.delay > 0:
        sooner = case.delay // 2
        return _say(f"{text} Try a delay of {sooner}: the photos then join sooner.", {"start_step": sooner})
    stronger = round(case.strengths[i] + NUDGE, 2)
    if stronger <= STRONGEST:
        return _say(f"{text} Try a strength of {stronger:g} for it.", {"strengths": {str(case.slots[i]): stronger}})
    return _say(f"{text} Try another seed.")


def _well(case: Case) -> Advice:
    parts = [f"{_percent(case.binding.shares[i, i])} of {name}’s attention" for i, name in enumerate(case.names)]
    return _say(f"No leak: {' and '.join(parts)} {'lies' if len(parts) == 1 else 'lie'} where the subject itself is.")


def _say(text: str, change: dict[str, Any] | None = None) -> Advice:
    return {"text": text, "change": change}


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
