"""Detected faces go to the segments that they lie in."""

from __future__ import annotations

from mmdiff_core.training.annotate.faces import add_faces
from mmdiff_core.types import Box, Face
from tests.helpers import tiny
from tests.helpers.fake_annotators import FakeAnnotators, FakeFace, annotate_photo


def test_faces_go_to_the_segments_they_lie_in() -> None:
    annotation, ids = annotate_photo(FakeAnnotators())
    crop = tiny.photo(5, (16, 16))
    faces = [
        FakeFace(Box(0.15, 0.2, 0.3, 0.4), Face((0.1,) * 512, crop)),  # on the cat
        FakeFace(Box(0.2, 0.2, 0.25, 0.3), Face((0.2,) * 512, crop)),  # a smaller one there
        FakeFace(Box(0.9, 0.0, 1.0, 0.1), Face((0.3,) * 512, crop)),  # on nothing
    ]
    with_faces, crops = add_faces(annotation, ids, faces)
    assert [segment.face and segment.face[0] for segment in with_faces.segments] == [0.1, None]
    assert crops == {1: crop}


def test_a_face_on_the_edge_of_a_segment_belongs_to_none() -> None:
    annotation, ids = annotate_photo(FakeAnnotators())
    edge = FakeFace(Box(0.35, 0.2, 0.48, 0.4), Face((0.1,) * 512, tiny.photo(5, (16, 16))))  # a fifth is on the cat
    with_faces, crops = add_faces(annotation, ids, [edge])
    assert with_faces == annotation
    assert crops == {}
