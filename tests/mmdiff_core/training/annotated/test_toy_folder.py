"""Annotated toys: a rendered folder follows its seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmdiff_core.training.annotated.folder import AnnotatedFolder
from tests.helpers import annotated


def test_rendered_folders_are_alike_for_a_seed(tmp_path: Path) -> None:
    one, two = (AnnotatedFolder(annotated.folder(tmp_path / name, 2)) for name in ("one", "two"))
    assert one.annotations == two.annotations
    assert np.array_equal(one.read(1).mask, two.read(1).mask)


def test_every_visible_toy_is_a_segment_of_its_identity(tmp_path: Path) -> None:
    folder = AnnotatedFolder(annotated.folder(tmp_path, 3))
    for index, annotation in enumerate(folder.annotations):
        ids = set(np.unique(folder.read(index).mask)) - {0}
        assert ids == {segment.id for segment in annotation.segments}
        assert all(segment.identity for segment in annotation.segments)
