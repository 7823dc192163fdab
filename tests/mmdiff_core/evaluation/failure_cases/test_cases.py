"""The failure cases: always the same, of unseen identities, and as hard as their titles say."""

from __future__ import annotations

import pytest

from mmdiff_core.evaluation.failure_cases.cases import IDENTITIES, TINY, FailureCase, draw_failure_cases, look_alikes
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD
from tests.helpers.small_referee import VOCABULARY

SIZE = (32, 32)


@pytest.fixture(scope="module")
def failures() -> dict[str, FailureCase]:
    return {failure.title: failure for failure in draw_failure_cases(VOCABULARY, SIZE)}


def test_look_alikes_share_colours_and_pattern() -> None:
    toys = look_alikes(("cat", "dog", "bear"), IDENTITIES)
    assert len({(*toy.attributes.colour_names[:2], toy.attributes.pattern) for toy in toys}) == 1
    assert [toy.class_name for toy in toys] == ["cat", "dog", "bear"]


def test_cases_are_the_same_each_time_and_of_unseen_toys(failures: dict[str, FailureCase]) -> None:
    again = {failure.title: failure for failure in draw_failure_cases(VOCABULARY, SIZE)}
    assert {title: failure.case for title, failure in again.items()} == {
        t: failure.case for t, failure in failures.items()
    }
    for failure in failures.values():
        scene = failure.case.scene
        assert all(toy.seed >= HELD_OUT for toy in failure.case.toys)
        assert any(words in scene.caption.text for words in BACKGROUND_WORDS[scene.background])
        assert all(name in scene.caption.text for name in scene.caption.names)
        assert len(failure.photos or failure.case.views) == failure.case.count == len(scene.caption.names)
    assert [len(failure.case.toys) for failure in failures.values()].count(3) == 2


def test_unseen_classes_are_those_that_the_model_was_not_trained_on() -> None:
    titles = [failure.title for failure in draw_failure_cases(FIRST_WORLD, SIZE)]
    classes = {title.split("(")[1][:-1] for title in titles if title.startswith("Unseen class")}
    assert "mushroom" in classes
    assert len(classes) == 3
    assert not classes & set(FIRST_WORLD.classes)
    whole = [
        failure.title for failure in draw_failure_cases(WHOLE_WORLD, SIZE) if failure.title.startswith("Unseen class")
    ]
    assert whole == ["Unseen class (mushroom)"]


def test_tiny_means_tiny(failures: dict[str, FailureCase]) -> None:
    masks = render(failures["Tiny in the photo"].case.views[0], 64).masks[:, 0]  # (P, H, W)
    assert 0 < masks.float().mean() < 0.06
    assert (masks.any(2).sum(1) / 64 < 1.5 * TINY).all()
    (box,) = failures["Tiny in the image"].regions or ()
    assert box is not None
    assert box.right - box.left == pytest.approx(TINY)
