"""What a picture's leakage means in words, and what to change about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from mmdiff_core.maps.leakage import Leakage

SERIOUS = 0.2  # of a subject's attention; a smaller part on another subject is common in pictures without leaks
CLEAR = 0.7  # of a subject's attention; with less on itself, much of it lies on the background
LOST = 0.01  # of the picture: a region this small holds no subject
CLOSE = 0.08  # of the diagonal, between two peaks
MAX_DELAY = 0.3  # of the steps; photos that join later come too late to shape the subjects
MIN_STRENGTH, MAX_STRENGTH, STRENGTH_STEP = 0.5, 2.0, 0.2


Phrase = tuple[
    str, Mapping[str, object]
]  # the key of a text, and the values of its gaps; a list is one of names, ``share`` is a fraction


class SettingsChange(TypedDict, total=False):
    """A change of settings: a start step, or strengths by slots, which are text, as JSON has them."""

    start_step: int
    strengths: dict[str, float]


class Advice(TypedDict):
    """Sentences, and the change that the button makes; None: no button."""

    says: list[Phrase]
    change: SettingsChange | None


class LeakageRecord(TypedDict):
    """Leakage as the viewer shows it; lists count the picture's subjects."""

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
        leakage: what was measured.
        names: the subjects' words.
        slots: the subjects' cards.
        settings: the picture's settings.
        unknown: those of the words that mean nothing to the model.
    """

    leakage: Leakage
    names: Sequence[str]
    slots: Sequence[int]
    settings: Mapping[str, Any]
    unknown: Sequence[str] = ()

    @property
    def strengths(self) -> list[float]:
        """One per subject."""
        return [float(subject["strength"]) for subject in self.settings["subjects"]]

    @property
    def delay(self) -> int:
        """Steps of plain text at the start."""
        return int(self.settings["start_step"])


def leakage_record(case: LeakageCase) -> LeakageRecord:
    """Return numbers and advice for the viewer."""
    leakage = case.leakage
    return {
        "shares": leakage.shares.round(4).tolist(),
        "elsewhere": leakage.elsewhere.round(4).tolist(),
        "coverage": leakage.coverage.round(4).tolist(),
        "overlap": leakage.overlap.round(4).tolist(),
        "distances": leakage.distances.round(4).tolist(),
        "advice": advise(case),
    }


def advise(case: LeakageCase) -> Advice:
    """Return advice on the worst finding, or none.

    Worst first: a flat map, an unknown word, an absent subject, two peaks at one spot, a leak, a lost subject.

    Nothing is said about leaks where a subject is not in the picture, or is drawn for a word that means nothing.
    """
    leakage, names = case.leakage, case.names
    if leakage.flat.any():
        return _advice(
            ("advice_even", {"names": [name for name, flat in zip(names, leakage.flat, strict=True) if flat]})
        )
    if case.unknown:
        return _advice(("advice_unknown", {"names": list(case.unknown)}))
    if leakage.absent.any():
        return _on_lost(case, int(leakage.absent.argmax()))
    close = [(i, j) for i, j in zip(*(leakage.distances < CLOSE).nonzero(), strict=True) if i < j]
    if close:
        one, two = (names[i] for i in close[0])
        return _advice(("advice_close", {"one": one, "two": two}), ("try_places", {}))
    for i, j in leakage.leaks:
        if leakage.shares[i, j] >= SERIOUS:
            return _on_leak(case, i, j)
    lost = [i for i, part in enumerate(leakage.coverage) if part < LOST]
    return _on_lost(case, lost[0]) if lost else _all_well(case)


def _on_leak(case: LeakageCase, i: int, j: int) -> Advice:
    """Photos that join later find the subjects' places settled by the words; after that, weaken the image term."""
    share = float(case.leakage.shares[i, j])
    found: Phrase = ("advice_leak", {"one": case.names[i], "two": case.names[j], "share": share})
    steps = int(case.settings["steps"])
    later = min(case.delay + max(1, round(steps / 10)), int(MAX_DELAY * steps))
    if later > case.delay:
        return _advice(found, ("try_later", {"n": later}), change={"start_step": later})
    weaker = round(case.strengths[i] - STRENGTH_STEP, 2)
    return _try_strength(case, i, weaker, found) if weaker >= MIN_STRENGTH else _advice(found, ("try_places", {}))


def _on_lost(case: LeakageCase, i: int) -> Advice:
    """Photos that join sooner shape more; after that, strengthen the image term."""
    found: Phrase = ("advice_lost", {"name": case.names[i]})
    if case.delay > 0:
        sooner = case.delay // 2
        return _advice(found, ("try_sooner", {"n": sooner}), change={"start_step": sooner})
    stronger = round(case.strengths[i] + STRENGTH_STEP, 2)
    return _try_strength(case, i, stronger, found) if stronger <= MAX_STRENGTH else _advice(found, ("try_seed", {}))


def _try_strength(case: LeakageCase, i: int, strength: float, found: Phrase) -> Advice:
    wish: Phrase = ("try_strength", {"n": f"{strength:g}", "name": case.names[i]})
    return _advice(found, wish, change={"strengths": {str(case.slots[i]): strength}})


def _all_well(case: LeakageCase) -> Advice:
    shares = [float(case.leakage.shares[i, i]) for i in range(len(case.names))]
    own = [("advice_own", {"name": name, "share": share}) for name, share in zip(case.names, shares, strict=True)]
    verdict = "advice_well" if min(shares) >= CLEAR else "advice_apart"
    return _advice(*([(verdict, {})] if len(own) > 1 else []), *own)


def _advice(*says: Phrase, change: SettingsChange | None = None) -> Advice:
    return {"says": list(says), "change": change}
