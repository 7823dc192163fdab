from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from demo.viewer.leakage_advice import Advice, LeakageCase, advise, leakage_record
from demo.web.i18n import texts_of
from mmdiff_core.maps.leakage import leakage_of


def _case(one: list[list[float]], two: list[list[float]], **settings: Any) -> LeakageCase:
    subjects = [{"name": name, "strength": settings.pop(name, 1.0)} for name in ("cat", "robot")]
    record = {"subjects": subjects, "steps": 20, "start_step": 0} | settings
    return LeakageCase(leakage_of(np.array([one, two])), ("cat", "robot"), (0, 3), record)


def _text(advice: Advice) -> str:
    """As a person reads it in English."""
    joined = [(key, {gap: _said(gap, value) for gap, value in gaps.items()}) for key, gaps in advice["says"]]
    return " ".join(texts_of("en")[key].format(**gaps) for key, gaps in joined)


def _said(gap: str, value: Any) -> object:
    if gap == "share":
        return f"{value:.0%}"
    return " and ".join(value) if isinstance(value, list) else value


APART = ([[9, 0, 0, 0]] * 4, [[0, 0, 0, 9]] * 4)
# Eight of the robot's 24 lie on the cat, a third, more than the quarter of the picture that the cat takes.
LEAKING = ([[9, 0, 0, 0]] * 4, [[2, 0, 0, 4]] * 4)


def test_well_bound_subjects_need_nothing() -> None:
    advice = advise(_case(*APART))
    own = [f"100% of {name}’s attention falls on {name}." for name in ("cat", "robot")]
    assert _text(advice) == f"The subjects are well separated. {own[0]} {own[1]}"
    assert advice["change"] is None


def test_attention_on_the_background_is_no_leak_and_no_separation() -> None:
    loose = ([[9, 4, 3, 0]] * 4, [[0, 3, 4, 9]] * 4)  # below half of its range a map counts as background
    advice = advise(_case(*loose))
    assert _text(advice).startswith(
        "Little of any subject’s attention falls on another; the rest lies around them. 56% of"
    )


def test_one_subject_is_separated_from_nothing() -> None:
    record = {"subjects": [{"name": "cat", "strength": 1.0}], "steps": 20, "start_step": 0}
    advice = advise(LeakageCase(leakage_of(np.array([APART[0]])), ("cat",), (0,), record))
    assert _text(advice) == "100% of cat’s attention falls on cat."


def test_a_leak_first_asks_for_a_later_start() -> None:
    advice = advise(_case(*LEAKING))
    assert "robot may bleed into cat: 33% of robot’s attention falls there." in _text(advice)
    assert advice["change"] == {"start_step": 2}


@pytest.mark.parametrize(("strength", "change"), [(1.0, {"strengths": {"3": 0.8}}), (0.6, None)])
def test_then_for_a_weaker_subject_and_at_last_for_another_seed(strength: float, change: object) -> None:
    advice = advise(_case(*LEAKING, start_step=6, robot=strength))
    assert advice["change"] == change
    assert ("seed" in _text(advice)) == (change is None)


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"start_step": 5}, {"start_step": 2}),
        ({"robot": 1.5}, {"strengths": {"3": 1.7}}),
        ({"robot": 2.0}, None),
    ],
)
def test_a_subject_without_a_place_joins_sooner_or_stronger(settings: dict[str, Any], change: object) -> None:
    advice = advise(_case([[9, 9, 9, 0]] * 4, [[4, 5, 9, 0]] * 4, **settings))
    assert "No part of the picture belongs to robot" in _text(advice)
    assert advice["change"] == change


@pytest.mark.parametrize("maps", [APART, LEAKING])
def test_nothing_is_said_about_leaks_where_a_subject_is_absent(maps: tuple[list[list[float]], ...]) -> None:
    case = _case(*maps)
    absent = replace(case, leakage=replace(case.leakage, absent=np.array([True, False])))
    assert _text(advise(absent)).startswith("No part of the picture belongs to cat")
    assert not any(word in _text(advise(absent)) for word in ("leak", "%"))


def test_nothing_is_said_about_words_that_mean_nothing_to_the_model() -> None:
    text = _text(advise(replace(_case(*LEAKING), unknown=("cat", "robot"))))
    assert text == (
        "The model does not know “cat and robot”: it drew something else there, so the heatmap cannot be judged."
    )


def test_two_at_one_spot_are_told_apart_by_words() -> None:
    advice = advise(_case([[9, 1, 0, 0]] * 4, [[8, 2, 0, 0]] * 4))
    assert "cat and robot peak at the same spot" in _text(advice)


def test_an_even_map_says_nothing() -> None:
    text = _text(advise(_case(APART[0], [[1, 1, 1, 1]] * 4)))
    assert text.startswith("The map of robot is flat, so there is nothing to measure.")


def test_numbers_go_to_the_page_as_plain_lists() -> None:
    packed = leakage_record(_case(*LEAKING))
    assert packed["shares"] == [[1.0, 0.0], [0.3333, 0.6667]]
    assert packed["coverage"] == [0.25, 0.25]
    assert packed["elsewhere"] == [0.0, 0.0]
