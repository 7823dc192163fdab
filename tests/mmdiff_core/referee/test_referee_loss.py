"""The loss: labels of squares, its terms, and what each depends on."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from mmdiff_core.referee.cached_renders import NONE, Renders, render_samples
from mmdiff_core.referee.network import Referee
from mmdiff_core.referee.referee_loss import RefereeBatch, RefereeLoss, RefereeLossWeights, segment_labels
from mmdiff_core.referee.stage import make_batch
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(scope="module")
def renders() -> Renders:
    return render_samples(random.Random(0), 8, VOCABULARY, CONFIG)


@pytest.fixture
def batch(renders: Renders) -> RefereeBatch:
    return make_batch(
        random.Random(0), renders, torch.zeros(8, dtype=torch.long), 0.5, "cpu"
    )  # half size: none spoiled


@pytest.fixture
def loss() -> RefereeLoss:
    torch.manual_seed(0)
    return RefereeLoss(Referee(CONFIG), RefereeLossWeights())


def test_squares_of_a_segmentation_take_what_covers_most() -> None:
    slots = torch.tensor([[[1, 1, 0, 2], [1, 0, 2, 2]]], dtype=torch.uint8)
    assert segment_labels(slots, torch.tensor([[4, 0, NONE]])).tolist() == [[[5, 1]]]


def test_every_term_has_a_weight_and_a_gradient_everywhere(loss: RefereeLoss, batch: RefereeBatch) -> None:
    terms = loss(batch)
    assert terms.keys() == vars(RefereeLossWeights()).keys()
    torch.stack(list(terms.values())).sum().backward()
    untouched = [name for name, x in loss.named_parameters() if x.grad is None or not x.grad.isfinite().all()]
    assert untouched == []


def test_weights_scale_the_terms(loss: RefereeLoss, batch: RefereeBatch) -> None:
    with torch.no_grad():
        plain = loss(batch)
        loss.weights = replace(loss.weights, styles=0.0, identity=1.0)
        changed = loss(batch)
    assert float(changed["styles"]) == 0
    assert float(changed["identity"]) == pytest.approx(2 * float(plain["identity"]))
    assert float(changed["segments"]) == float(plain["segments"])


def test_of_spoiled_images_only_their_emptiness_counts(loss: RefereeLoss, batch: RefereeBatch) -> None:
    """Other labels of a spoiled image change no term; all its classes are absent."""
    spoiled = torch.zeros(8, dtype=torch.bool)
    spoiled[0] = True
    scenes = replace(batch.scenes, spoiled=spoiled)
    backgrounds = scenes.backgrounds.clone()
    backgrounds[0] = 1 - backgrounds[0]
    with torch.no_grad():
        first = loss(replace(batch, scenes=scenes))
        other = loss(replace(batch, scenes=replace(scenes, backgrounds=backgrounds, slots=scenes.slots * 0)))
        assert float(other["backgrounds"]) == float(first["backgrounds"])
        absent = loss._present(scenes)
    assert absent[0].sum() == 0
    assert absent[1].sum() > 0


def test_toys_out_of_sight_are_not_contrasted(loss: RefereeLoss, batch: RefereeBatch) -> None:
    slots = batch.scenes.slots.clone()
    slots[:4] = 0  # cropped away
    with torch.no_grad():
        terms = loss(replace(batch, scenes=replace(batch.scenes, slots=slots)))
    assert all(term.isfinite() for term in terms.values())
    assert float(terms["identity"]) != float(loss(batch)["identity"])
