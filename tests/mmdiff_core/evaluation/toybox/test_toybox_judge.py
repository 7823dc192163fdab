"""How images are judged, on a tiny model and a tiny referee."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.evaluation.toybox import toybox_judge as module
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import pixels_of


def test_a_subject_without_a_region_has_failed(suite: ToyboxSuite, cases: list[ToyboxCase]) -> None:
    with torch.no_grad():
        suite.referee.segments.bias[0] += 100  # sure of background everywhere
    suite.bounds = False
    for judged in suite.run(cases[1]).images:
        assert judged.scores.identity == judged.scores.peak == [False, False]
        assert judged.scores.likeness == [0.0, 0.0]
        assert judged.scores.swapped == []
        assert not np.any(judged.scores.curves)


def test_distractors_are_embedded_once_and_shared(
    suite: ToyboxSuite, cases: list[ToyboxCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: dict[str, torch.Tensor] = {}
    first = ToyboxSuite(suite.personalizer, suite.referee, (0,), bounds=False, distractors=shared)
    first.run(cases[1])
    assert set(shared) <= set(cases[1].classes)
    assert all(len(embeddings) == module.DISTRACTORS for embeddings in shared.values())
    monkeypatch.setattr(ToyboxSuite, "_embedding", None)  # none is computed again
    again = ToyboxSuite(suite.personalizer, suite.referee, (0,), bounds=False, distractors=shared)
    assert [x.scores for x in again.run(cases[1]).images] == [x.scores for x in first.run(cases[1]).images]


def test_another_suite_has_other_galleries(suite: ToyboxSuite) -> None:
    """The distractors follow from the seed of the suite."""
    other = ToyboxSuite(suite.personalizer, suite.referee, seed=suite.seed + 1)
    own, others = (x._embeddings_of_distractors("cat") for x in (suite, other))
    torch.testing.assert_close(own[1:], others[:-1])  # shifted by one identity


def test_pixels_of_an_image() -> None:
    pixels = pixels_of(Image.new("L", (4, 2), 51))
    assert pixels.shape == (3, 2, 4)
    assert pixels.unique().tolist() == pytest.approx([0.2])
