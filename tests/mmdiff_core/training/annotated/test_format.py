"""The annotation format: the official tool's files are read, and what is wrong with a file is said."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.errors import AnnotationError
from mmdiff_core.training.annotated.format import Annotation, Segment, read_image, read_mask, write_mask

# As the official annotation tool writes it.
OFFICIAL = {
    "image_id": "000000007",
    "caption": "a black cat next to a dog",
    "segments": [
        {"id": 1, "word": "a black cat", "start": 0, "end": 11, "box": [4, 5, 20, 30]},
        {"id": 2, "word": "a dog", "start": 20, "end": 25, "box": [22, 5, 40, 30]},
    ],
}


def with_segment(**changes: object) -> str:
    return json.dumps({**OFFICIAL, "segments": [{**OFFICIAL["segments"][0], **changes}]})


def test_official_annotation_is_read() -> None:
    annotation = Annotation.from_json(json.dumps(OFFICIAL), "x.json")
    assert annotation.segments[1] == Segment(2, "a dog", 20, 25, (22.0, 5.0, 40.0, 30.0))
    words = annotation.words(annotation.segments)
    assert [annotation.caption[word.start : word.end] for word in words] == ["a black cat", "a dog"]
    assert [word.subject for word in words] == [0, 1]


def test_writing_and_reading_is_the_same() -> None:
    segment = Segment(3, "a dog", 20, 25, (1.5, 2.0, 3.0, 4.0), identity="rex", face=(0.5,) * 512)
    annotation = Annotation("000000001", OFFICIAL["caption"], (segment,))
    assert Annotation.from_json(annotation.to_json(), "x.json") == annotation


def test_unused_additions_are_not_written() -> None:
    written = json.loads(Annotation.from_json(json.dumps(OFFICIAL), "x.json").to_json())
    assert written["segments"][0].keys() == OFFICIAL["segments"][0].keys()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "x.json"),
        ('{"caption": "a cat"}', "segments"),
        (with_segment(start=1), "is not at 1 to 11"),
        (with_segment(end=400), "is not at"),
        (with_segment(box=[1, 2, 3]), "not four numbers"),
        (with_segment(box=[1, 2, 3, float("nan")]), "not four numbers"),
        (with_segment(id=0), "from 1 to 255"),
        (with_segment(face=[1.0, 2.0]), "512"),
        (json.dumps({**OFFICIAL, "segments": [OFFICIAL["segments"][0]] * 2}), "share an id"),
        ("[1]", "cannot be used"),
    ],
)
def test_faults_are_named(text: str, told: str) -> None:
    with pytest.raises(AnnotationError, match=told):
        Annotation.from_json(text, "x.json")


def test_masks_of_both_kinds_are_the_same() -> None:
    ids = np.random.default_rng(0).integers(0, 3, (5, 7))
    buffer = io.BytesIO()
    np.save(buffer, ids.astype(np.float32))  # the official tool saves floats
    assert np.array_equal(read_mask(buffer.getvalue(), "npy", "x.npy"), ids)
    assert np.array_equal(read_mask(write_mask(ids), "png", "x.png"), ids)


def test_numbers_that_are_no_ids_are_background() -> None:
    """They wrapped around: 257 was taken for segment 1, -1 for segment 255."""
    ids = np.array([[0, 1, 255], [256, 257, -1]])
    buffer = io.BytesIO()
    np.save(buffer, ids)
    assert read_mask(buffer.getvalue(), "npy", "x.npy").tolist() == [[0, 1, 255], [0, 0, 0]]
    buffer = io.BytesIO()
    Image.fromarray(ids.clip(0).astype(np.uint16)).save(buffer, "PNG")
    assert read_mask(buffer.getvalue(), "png", "x.png").tolist() == [[0, 1, 255], [0, 0, 0]]


def test_a_mask_is_never_unpickled() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(AnnotationError, match=r"x\.npy"):
        read_mask(buffer.getvalue(), "npy", "x.npy")


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"0" * 30])
def test_damaged_images_are_named(data: bytes) -> None:
    with pytest.raises(AnnotationError, match=r"x\.jpg"):
        read_image(data, "x.jpg")
    with pytest.raises(AnnotationError, match=r"x\.png"):
        read_mask(data, "png", "x.png")
