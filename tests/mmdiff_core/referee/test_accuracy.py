"""The measured accuracy of referees whose answers are known."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from mmdiff_core.referee import accuracy
from mmdiff_core.referee.accuracy import TARGET_ACCURACY, measure_accuracy
from mmdiff_core.referee.cached_renders import NONE, Renders, render_samples
from mmdiff_core.referee.judge import Judgement
from mmdiff_core.referee.metrics import CANDIDATES
from mmdiff_core.referee.network import Referee
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(scope="module")
def renders() -> Renders:
    return render_samples(random.Random(0), 20, VOCABULARY, CONFIG, "held_out")


def test_a_referee_that_knows_nothing(renders: Renders) -> None:
    torch.manual_seed(0)
    referee = Referee(CONFIG).eval()
    with torch.no_grad():
        referee.presence[-1].bias.fill_(50.0)  # every class is everywhere
        referee.segments.bias[0] = 50.0  # and nowhere
    found = measure_accuracy(referee, renders, random.Random(0))
    assert (found["noun"].mean, found["alarm"].mean, found["mush"].mean, found["iou"].mean) == (1.0, 1.0, 1.0, 0.0)
    assert found.keys() >= TARGET_ACCURACY.keys()
    assert found["identity"].n == 0  # no class has sixteen toys here


def test_a_referee_that_knows_everything(renders: Renders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judgements made of the truth reach 1 in every measure but those of false alarms."""
    named = [[number for number in row if number != NONE] for row in renders.classes.tolist()]
    kept = [c for c, row in enumerate(named) if len(set(row)) == len(row)]

    def truth(
        referee: Referee, images: Tensor, class_names: Sequence[Sequence[str]], photos: bool = False
    ) -> list[Judgement]:
        toys = [(c, s) for c in kept for s in range(3) if int(renders.classes[c, s]) != NONE]
        rows = [[toy] for toy in toys] if photos else [[t for t in toys if t[0] == c] for c in kept]
        return [_judgement(renders, row, photos) for row in rows]

    monkeypatch.setattr(accuracy, "judge", truth)
    found = measure_accuracy(Referee(CONFIG).eval(), renders, random.Random(0))
    for name in ("noun", "place", "style", "iou", "colour", "second", "accent", "pattern"):
        assert found[name].mean == 1.0, name
    assert found["swapped"].mean == 0.0
    assert found["noun"].n == found["colour"].n == sum(len(named[c]) for c in kept)


def test_identities_are_asked_for_among_sixteen_of_a_class() -> None:
    """With orthogonal embeddings all are right; with equal ones none is strictly the nearest."""
    count = CANDIDATES + 2
    names = [["cat"]] * count
    for embeddings, expected in ((torch.eye(count), True), (torch.ones(count, count), False)):
        judged = {c: _bare(embeddings[c][None]) for c in range(count)}
        photos = {(c, 0): judged[c] for c in range(count)}
        assert accuracy._identity_hits(random.Random(0), judged, photos, names) == [expected] * count
    few = {(c, 0): judged[c] for c in range(CANDIDATES - 1)}
    assert accuracy._identity_hits(random.Random(0), judged, few, names) == []


def _judgement(renders: Renders, toys: Sequence[tuple[int, int]], photos: bool) -> Judgement:
    c = toys[0][0]
    regions = torch.stack([renders.slots[c] == 1 + s for _, s in toys])
    sizes = CONFIG.attribute_sizes
    attributes = tuple(
        torch.stack([torch.nn.functional.one_hot(renders.attributes[c, s, k], size) * 50.0 for c, s in toys])
        for k, size in enumerate(sizes)
    )
    return Judgement(
        present=(True,) * len(toys), background=CONFIG.backgrounds[int(renders.backgrounds[c])],
        style=CONFIG.styles[int(renders.styles[c])], regions=regions, found=(True,) * len(toys),
        identity=torch.ones(len(toys), 2), attributes=attributes,
    )  # fmt: skip


def _bare(identity: Tensor) -> Judgement:
    return Judgement((True,), "beach", "photo", torch.ones(1, 2, 2, dtype=torch.bool), (True,), identity, ())
