"""Examples: masks go where their images go, subjects that are not seen do not count, chance follows the number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.encoders.photo import NEUTRAL
from mmdiff_core.training.annotated.folder import AnnotatedImage
from mmdiff_core.training.annotated.format import Annotation, Segment
from mmdiff_core.training.annotated.training_examples import ExampleMaker, PhotoSettings, TrainingExample
from mmdiff_core.types import Face

RED, BLUE, GREEN = (220, 20, 20), (20, 20, 220), (20, 220, 20)
CAPTION = "a cat next to a dog"
CAT = Segment(1, "a cat", 0, 5, (10, 10, 40, 40))
DOG = Segment(2, "a dog", 14, 19, (70, 20, 100, 60))


def record(caption: str = CAPTION, segments: tuple[Segment, ...] = (CAT, DOG)) -> AnnotatedImage:
    """A red cat and a blue dog on green, 120 x 80."""
    image, mask = Image.new("RGB", (120, 80), GREEN), np.zeros((80, 120), np.uint8)
    for segment, colour in zip(segments, (RED, BLUE), strict=False):
        left, top, right, bottom = map(int, segment.box)
        image.paste(colour, (left, top, right, bottom))
        mask[top:bottom, left:right] = segment.id
    return AnnotatedImage(Annotation("7", caption, segments), image, mask, {}, {})


def maker(fixed: bool = False, **settings: object) -> ExampleMaker:
    return ExampleMaker(64, 2, 32, PhotoSettings(**settings), seed=0, fixed=fixed)


def many(count: int = 40, rec: AnnotatedImage | None = None, **settings: object) -> list[TrainingExample]:
    return [maker(**settings).make(number, rec or record()) for number in range(count)]


def test_masks_lie_on_their_subjects() -> None:
    for example in many():
        assert example.image.shape == (3, 64, 64)
        for word, mask in zip(example.words, example.masks, strict=True):
            inside = torch.nn.functional.interpolate(mask[None, None], (64, 64))[0, 0] == 1
            red, green, blue = example.image[:, inside].mean(1).tolist()
            assert (red > 0.7) == (word.text == "a cat")
            assert (blue > 0.7) == (word.text == "a dog")
            assert green < 0.2


def test_words_and_photos_are_those_of_the_subjects() -> None:
    for example in many(cut=0.0):
        assert [CAPTION[w.start : w.end] for w in example.words] == [w.text for w in example.words]
        assert [w.subject for w in example.words] == list(range(len(example.words)))
        for word, (photo, *others) in zip(example.words, example.photos, strict=True):
            assert not others
            centre = photo[:, 16, 16]
            assert centre[0 if word.text == "a cat" else 2] > 0.7


def test_a_subject_that_is_hardly_in_the_crop_does_not_count() -> None:
    counts = {len(example.words) for example in many(60)}
    assert {1, 2} <= counts  # 120 pixels wide, the crop shows 80
    for example in many(60):
        assert (example.masks.flatten(1).sum(1) > 0.004 * 32 * 32).all()


def test_at_most_so_many_subjects_in_the_order_of_the_caption() -> None:
    assert {len(example.words) for example in many(subjects=1)} == {1}
    assert all(list(e.words) == sorted(e.words, key=lambda w: w.start) for e in many())


def test_chance_follows_the_number_alone() -> None:
    again, other = maker().make(5, record()), maker().make(6, record())
    assert torch.equal(maker().make(5, record()).image, again.image)
    assert maker().make(5, record()).corner == again.corner
    assert not torch.equal(again.image, other.image)


def test_captions_that_tell_left_from_right_are_not_mirrored() -> None:
    told = record("a cat to the left of a dog", (CAT, Segment(2, "a dog", 21, 26, DOG.box)))
    for example in many(30, told, mirror=1.0):
        if len(example.words) == 2:
            columns = torch.arange(32.0)
            cat, dog = ((mask.sum(0) * columns).sum() / mask.sum() for mask in example.masks)
            assert cat < dog


def test_condition_dropout_has_its_shares() -> None:
    settings = {"without_photos": 0.2, "without_text": 0.1, "without_both": 0.3}
    seen = [example.sees for example in many(300, **settings)]
    shares = {kind: seen.count(kind) / len(seen) for kind in ("text", "photos", "nothing", "all")}
    assert shares == pytest.approx({"text": 0.2, "photos": 0.1, "nothing": 0.3, "all": 0.4}, abs=0.08)


def test_background_is_removed_as_a_transparent_photo_is_laid() -> None:
    (photo,) = next(example.photos for example in many(cut=1.0, subjects=1))[0:1][0]
    corner = (photo[:, 1, 16] * 255).round()
    assert corner.tolist() == pytest.approx(list(NEUTRAL), abs=3)
    (photo,) = next(example.photos for example in many(cut=0.0, subjects=1))[0]
    assert (photo[:, 1, 16] * 255).tolist() == pytest.approx(list(GREEN), abs=20)


def test_other_photos_of_an_identity_are_shown() -> None:
    white = tuple(Image.new("RGBA", (20, 20), (255, 255, 255, 255)) for _ in range(3))
    rec = replace(record(segments=(CAT,)), photos={1: white})
    shown = [example.photos[0] for example in many(80, rec, own=0.5, photos=2)]
    others = [photos for photos in shown if photos[0].mean() > 0.99]
    assert 0.3 < len(others) / len(shown) < 0.7
    assert {len(photos) for photos in others} == {1, 2}
    assert {len(photos) for photos in shown if photos[0].mean() <= 0.99} == {1}


def test_faces_choose_the_subjects_of_the_face_variant() -> None:
    faces = tuple(Face((float(k),) * 512, Image.new("RGB", (8, 8))) for k in range(3))
    rec = replace(record(), faces={2: faces})
    examples = replace(maker(own=0.0), with_faces=True)
    for example in (examples.make(number, rec) for number in range(20)):
        assert {word.text for word in example.words} <= {"a dog"}
        for own in example.faces:
            assert {face.embedding[0] for face in own} <= {1.0, 2.0}  # not the image's own
    alone = replace(record(), faces={2: faces[:1]})
    assert any(examples.make(number, alone).faces == (faces[:1],) for number in range(20))


def test_fixed_examples_have_no_chance() -> None:
    first, second = (maker(fixed=True).make(number, record()) for number in (1, 2))
    assert torch.equal(first.image, second.image)
    assert first.sees == second.sees == "all"
    assert len(first.words) == 2


def test_an_image_without_segments_is_text_alone() -> None:
    example = maker().make(0, record(segments=()))
    assert example.words == ()
    assert example.masks.shape == (0, 32, 32)


def test_sdxl_is_told_size_and_corner() -> None:
    example = maker().make(3, record())
    assert example.original == (80, 120)
    top, left = example.corner
    assert top == 0
    assert 0 <= left <= 96 - 64


def test_the_corner_is_that_in_the_mirrored_image() -> None:
    """A stripe at a fifth of the width, in the crop and by the corner that SDXL is told."""
    plain = record("a thing", segments=())
    plain.image.paste(RED, (24, 0, 28, 80))
    mirrored = [maker(mirror=1.0).make(number, plain) for number in range(20)]
    seen = [(example, example.image[0].mean(0)) for example in mirrored]
    places = [int(red.argmax()) + example.corner[1] for example, red in seen if red.max() > 0.9]
    assert len(places) > 2
    assert all(abs(place - (96 - 1 - 20.8)) < 3 for place in places)  # 80 pixels of height became 64
