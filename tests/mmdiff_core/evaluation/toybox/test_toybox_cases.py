"""The prompts of the suite: the same every time, of unseen identities, and about what is measured."""

from __future__ import annotations

import random

from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, PHOTOS, compose_case, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import DISTRACTORS_FROM
from mmdiff_core.toyworld import HELD_OUT, make_toy
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import unseen
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD


def test_prompts_are_the_same_every_time_and_of_unseen_toys() -> None:
    cases = draw_toybox_cases(WHOLE_WORLD, {1: 12, 2: 12, 3: 6})
    assert cases == draw_toybox_cases(WHOLE_WORLD, {1: 12, 2: 12, 3: 6})
    identities = [toy.seed for case in cases for toy in case.toys]
    assert identities[:12] == list(range(FIRST_SEED, FIRST_SEED + 12))
    assert len(set(identities)) == 12 + 24 + 18
    assert [case for case in cases if case.number < 3] == draw_toybox_cases(WHOLE_WORLD, {1: 3, 2: 3, 3: 3})
    assert FIRST_SEED >= HELD_OUT
    assert max(identities) < FIRST_SEED + DISTRACTORS_FROM  # distractors are other toys
    other = draw_toybox_cases(WHOLE_WORLD, {1: 12}, seed=FIRST_SEED + 500)
    assert [case.scene.caption for case in other] != [case.scene.caption for case in cases[:12]]


def test_prompts_name_what_is_measured() -> None:
    for case in draw_toybox_cases(WHOLE_WORLD, {1: 16, 2: 16, 3: 8}):
        text = case.scene.caption.text
        assert len(set(case.classes)) == case.count == len(case.scene.caption.names)
        assert any(words in text for words in BACKGROUND_WORDS[case.scene.background])
        assert all(view.toys[0].toy == toy for views, toy in zip(case.views, case.toys, strict=True) for view in views)
        assert all(view.background != case.scene.background for views in case.views for view in views)


def test_some_prompts_are_of_combinations_that_were_never_trained_on() -> None:
    for vocabulary in (WHOLE_WORLD, FIRST_WORLD):
        cases = draw_toybox_cases(vocabulary, {1: 17, 2: 9})
        fresh = [any(unseen(n, case.scene.background, case.scene.style) for n in case.classes) for case in cases]
        assert all(fresh[k] for k in (0, 8, 16, 17, 25))
        words = {(case.scene.background, case.scene.style) for case in cases}
        assert all(background in vocabulary.backgrounds and style in vocabulary.styles for background, style in words)


def test_a_bare_case_has_no_accessories() -> None:
    toys = [make_toy("cat", 1), make_toy("bear", 2)]
    cases = [
        compose_case(random.Random(k), toys, k, "snow", "photo", WHOLE_WORLD, bare=bare)
        for bare in (True, False)
        for k in range(12)
    ]
    worn = [any(placed.wearing for placed in case.scene.toys) for case in cases]
    assert not any(worn[:12])
    assert any(worn[12:])
    assert {len(views) for case in cases for views in case.views} == {PHOTOS}
    assert [case.number for case in cases[:12]] == list(range(12))
