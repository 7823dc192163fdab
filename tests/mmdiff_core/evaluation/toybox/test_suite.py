"""The suite on a tiny generator and a tiny referee: what it generates, judges and measures."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from mmdiff_core.backbones.toybox import FAST
from mmdiff_core.evaluation.toybox.suite import Sampling, ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import PHOTOS, ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER
from mmdiff_core.referee.metrics import THRESHOLDS
from mmdiff_core.types import Box


def test_every_case_has_its_images_and_both_bounds(suite: ToyboxSuite, cases: list[ToyboxCase]) -> None:
    outcome = suite.run(cases[1])
    assert [(judged.scores.kind, judged.scores.seed) for judged in outcome.images] == [
        (UPPER, 0), (MODEL, 3), (MODEL, 4), (LOWER, 3)
    ]  # fmt: skip
    assert [len(own) for own in outcome.photos] == [PHOTOS] * 2
    for judged in outcome.images:
        scores = judged.scores
        assert (scores.count, scores.number, scores.prompt) == (2, 0, cases[1].scene.caption.text)
        assert len(scores.identity) == len(scores.peak) == len(scores.likeness) == len(judged.heatmaps) == 2
        assert [len(curve) for curve in scores.curves] == [len(THRESHOLDS)] * 2
        assert judged.regions.shape == (2, 32, 32)
    assert len({judged.image.tobytes() for judged in outcome.images}) == 4


def test_bounds_may_be_left_out(suite: ToyboxSuite, cases: list[ToyboxCase]) -> None:
    suite.bounds = False
    images = suite.run(cases[0]).images
    assert [judged.scores.kind for judged in images] == [MODEL, MODEL]
    assert images[0].scores.swapped == []  # one subject alone


def test_photos_may_be_given(suite: ToyboxSuite, cases: list[ToyboxCase]) -> None:
    white = [torch.ones(1, 3, 32, 32)]
    suite.bounds, suite.seeds = False, (0,)
    assert suite.run(cases[0], white).photos[0][0].getextrema() == ((255, 255),) * 3


def test_a_request_names_the_subjects_and_their_regions(suite: ToyboxSuite, cases: list[ToyboxCase]) -> None:
    photos = (Image.new("RGB", (8, 8)),)
    box = Box(0.0, 0.0, 0.5, 1.0)
    request = suite.request(cases[1], [photos, photos], [box, None])
    assert tuple(subject.name for subject in request.subjects) == cases[1].scene.caption.names
    assert [subject.region for subject in request.subjects] == [box, None]
    assert request.seeds == (3, 4)
    assert [subject.region for subject in suite.request(cases[1], [photos, photos]).subjects] == [None, None]


def test_images_are_sampled_as_asked_but_the_base_models_are_not(
    suite: ToyboxSuite, cases: list[ToyboxCase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lower bound is of the base model as it is, whatever the table around it is of."""
    asked: list[tuple[int | None, str | None]] = []
    plan = suite.personalizer.plan
    monkeypatch.setattr(
        suite.personalizer, "plan", lambda request: asked.append((request.steps, request.scheduler)) or plan(request)
    )
    suite.changes, suite.seeds = Sampling(steps=3, scheduler="unipc").changes(suite.personalizer), (0,)
    suite.run(cases[0])
    assert asked == [(3, "unipc"), (None, None)]
    fast = Sampling(fast=True, guidance=2.0).changes(suite.personalizer)
    assert fast == {"steps": FAST.steps, "guidance": 2.0, "scheduler": None}
