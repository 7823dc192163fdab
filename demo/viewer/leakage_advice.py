"""What a picture's binding means in words, and what to change about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from mmdiff_core.maps.leakage import Leakage

SERIOUS = 0.2  # of a subject's attention; a smaller part on another subject is common in well bound pictures
LOST = 0.01  # of the picture: a region so small holds no subject
CLOSE = 0.08  # of the diagonal, between two peaks
LONGEST_DELAY = 0.3  # of the steps; photos that join later come too late to shape the subjects
WEAKEST, STRONGEST, NUDGE = 0.5, 2.0, 0.2  # strengths


Phrase = tuple[str, dict[str, Any]]  # the key of a text, and what fills its gaps; a list is one of names


class Advice(TypedDict):
    """Sentences, and the change that the button makes; None: no button.

    The change is ``{"start_step": number}`` or ``{"strengths": {slot: number}}``, with slots as text, as JSON has them.
    """

    says: list[Phrase]
    change: dict[str, Any] | None


class LeakageRecord(TypedDict):
    """A binding as the viewer shows it; lists count the picture's subjects."""

    shares: list[list[float]]
    elsewhere: list[float]
    coverage: list[float]
    overlap: list[list[float]]
    distances: list[list[float]]
    advice: Advice


@dataclass(frozen=True)
class LeakageCase:
    """A picture to give advice on.

    Attributes:
        binding: what was measured.
        names: the subjects' words.
        slots: the subjects' cards.
        settings: the picture's settings.
    """

    binding: Leakage
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


def leakage_record(case: LeakageCase) -> LeakageRecord:
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


def advise(case: LeakageCase) -> Advice:
    """The gravest finding: an empty map, a subject without a place, a leak, two at one spot; else that all is well."""
    binding, names = case.binding, case.names
    if binding.flat.any():
        flat = [name for name, flat in zip(names, binding.flat, strict=True) if flat]
        return _say(("advice_even", {"names": flat}))
    close = [(i, j) for i, j in zip(*(binding.distances < CLOSE).nonzero(), strict=True) if i < j]
    if close:
        one, two = (names[i] for i in close[0])
        return _say(("advice_close", {"one": one, "two": two}), ("try_places", {}))
    for i, j in binding.leaks:
        if binding.shares[i, j] >= SERIOUS:
            return _leak(case, i, j)
    lost = [i for i, part in enumerate(binding.coverage) if part < LOST]
    return _lost(case, lost[0]) if lost else _well(case)


def _leak(case: LeakageCase, i: int, j: int) -> Advice:
    """Photos that join later find the subjects' places settled by the words; then a weaker image term."""
    share = _percent(case.binding.shares[i, j])
    found: Phrase = ("advice_leak", {"one": case.names[i], "two": case.names[j], "share": share})
    steps = int(case.settings["steps"])
    later = min(case.delay + max(1, round(steps / 10)), int(LONGEST_DELAY * steps))
    if later > case.delay:
        return _say(found, ("try_later", {"n": later}), change={"start_step": later})
    weaker = round(case.strengths[i] - NUDGE, 2)
    return _strength(case, i, weaker, found) if weaker >= WEAKEST else _say(found, ("try_places", {}))


def _lost(case: LeakageCase, i: int) -> Advice:
    """Photos that join sooner shape more; then a stronger image term."""
    found: Phrase = ("advice_lost", {"name": case.names[i]})
    if case.delay > 0:
        sooner = case.delay // 2
        return _say(found, ("try_sooner", {"n": sooner}), change={"start_step": sooner})
    stronger = round(case.strengths[i] + NUDGE, 2)
    return _strength(case, i, stronger, found) if stronger <= STRONGEST else _say(found, ("try_seed", {}))


def _strength(case: LeakageCase, i: int, strength: float, found: Phrase) -> Advice:
    wish: Phrase = ("try_strength", {"n": f"{strength:g}", "name": case.names[i]})
    return _say(found, wish, change={"strengths": {str(case.slots[i]): strength}})


def _well(case: LeakageCase) -> Advice:
    shares = [_percent(case.binding.shares[i, i]) for i in range(len(case.names))]
    own = [("advice_own", {"name": name, "share": share}) for name, share in zip(case.names, shares, strict=True)]
    return _say(("advice_well", {}), *own)


def _say(*says: Phrase, change: dict[str, Any] | None = None) -> Advice:
    return {"says": list(says), "change": change}


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
