"""The rules: which detections become an annotation, and why an image is dropped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdiff_core.training.annotate.annotators import Detection
from mmdiff_core.training.annotate.rules import Dropped, name_identity, overlap, without_overlaps
from mmdiff_core.training.annotated.format import Annotation, Segment
from tests.helpers.fake_annotators import CAPTION, CAT, DOG, SIZE, FakeAnnotators, annotate_photo


def test_an_annotation_as_the_official_tool_writes_it() -> None:
    fake = FakeAnnotators()
    annotation, ids = annotate_photo(fake)
    assert fake.asked == [SIZE, ("a cat", "a dog", "the beach")]
    assert annotation == Annotation(
        "000000000",
        CAPTION,
        (Segment(1, "a cat", 0, 5, (11.0, 10.0, 30.0, 50.0)), Segment(2, "a dog", 14, 19, DOG)),
    )
    assert (ids == 1).sum() == 20 * 40
    assert ids[30, 50] == 2


def test_a_persons_caption_is_taken() -> None:
    fake = FakeAnnotators(found=[Detection(0, 0.9, CAT)])
    annotation, _ = annotate_photo(fake, caption="  my  tiger\n")
    assert annotation.caption == "my tiger"
    assert fake.asked == [("my tiger",)]


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        (FakeAnnotators(caption_text=" "), "the caption is empty"),
        (FakeAnnotators(caption_text="many people"), "no noun phrase in the caption"),
        (FakeAnnotators(found=[]), "nothing was found"),
        (
            FakeAnnotators(found=[Detection(0, 0.9, CAT), Detection(1, 0.9, DOG), Detection(2, 0.9, (0, 50, 9, 60))]),
            "too many things",
        ),
        (FakeAnnotators(found=[Detection(0, 0.9, CAT), Detection(0, 0.9, DOG)]), "one phrase for several things"),
        (FakeAnnotators(found=[Detection(0, 0.9, (1, 1, 4, 4))]), "a thing is too small or fills the image"),
        (FakeAnnotators(found=[Detection(0, 0.9, (0, 0, 80, 64))]), "a thing is too small or fills the image"),
        (FakeAnnotators(fill=0.1), "a mask does not fit its box"),
    ],
)
def test_why_a_image_is_dropped(fake: FakeAnnotators, reason: str) -> None:
    with pytest.raises(Dropped) as caught:
        annotate_photo(fake)
    assert caught.value.reason == reason


def test_a_small_image_costs_no_model() -> None:
    fake = FakeAnnotators()
    with pytest.raises(Dropped) as caught:
        annotate_photo(fake, size=(20, 200))
    assert caught.value.reason == "the image is too small"
    assert fake.asked == []


def test_overlapping_boxes_leave_the_best() -> None:
    shifted = (12.0, 10.0, 32.0, 50.0)
    kept = without_overlaps([Detection(0, 0.5, shifted), Detection(1, 0.8, DOG), Detection(0, 0.9, CAT)], 0.5)
    assert [thing.box for thing in kept] == [CAT, DOG]
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_a_smaller_thing_is_in_front() -> None:
    fake = FakeAnnotators(found=[Detection(0, 0.9, (0, 0, 60, 60)), Detection(1, 0.9, (10, 10, 30, 30))])
    _, ids = annotate_photo(fake)
    assert ids[20, 20] == 2
    assert ids[50, 50] == 1


def test_identities_name_the_largest_thing() -> None:
    annotation, ids = annotate_photo(
        FakeAnnotators(found=[Detection(0, 0.9, (0, 0, 10, 30)), Detection(1, 0.9, (20, 0, 60, 60))])
    )
    named = name_identity(annotation, ids, "rex")
    assert [segment.identity for segment in named.segments] == [None, "rex"]
    assert replace(named.segments[1], identity=None) == annotation.segments[1]
