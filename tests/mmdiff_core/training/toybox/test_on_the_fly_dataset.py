"""Rendered samples follow their seed and keep together what belongs together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.toyworld.render.renderer import Rendered, render
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary
from mmdiff_core.training.toybox import on_the_fly_dataset
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from tests.helpers.toybox_training import RECIPE


@pytest.fixture
def scenes(monkeypatch: pytest.MonkeyPatch) -> list[Scene]:
    """All scenes that are asked for; rendered at two pixels, which takes no time."""
    seen: list[Scene] = []

    def note(scenes: list[Scene], size: int, device: str) -> Rendered:
        seen.extend(scenes)
        return render(scenes[:1], 2, device)

    monkeypatch.setattr(on_the_fly_dataset, "render", note)
    return seen


def test_samples_follow_the_seed() -> None:
    first, again, other = (OnTheFlyDataset(RECIPE, seed).sample(3) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert first.captions == again.captions
    assert not torch.equal(first.images, other.images)


def test_a_resumed_run_sees_other_samples() -> None:
    def captions(step: int) -> list[str]:
        dataset = OnTheFlyDataset(RECIPE, seed=3)
        dataset.seek(step)
        return [caption.detailed for caption in dataset.sample(3).captions]

    assert captions(7) == captions(7)
    assert captions(7) != captions(8)


def test_every_named_subject_has_a_mask_and_photos() -> None:
    samples = OnTheFlyDataset(RECIPE, seed=5).sample(8)
    assert samples.photos == RECIPE.photos
    for row, caption in enumerate(samples.captions):
        count = int(samples.present[row].sum())
        assert count == len(caption.names) == len(samples.descriptions[row])
        assert len(find_words(caption.text, caption.names)[1]) == count
        assert (samples.masks[row, :count].flatten(1).amax(1) > 100).all()
        assert (samples.masks[row, count:] == 0).all()
        assert (samples.references[row, :count].flatten(2).float().std(-1) > 1).all()


def test_photo_pairs_show_one_toy_twice() -> None:
    photos, texts = OnTheFlyDataset(RECIPE, seed=1).sample_photo_pairs(2)
    assert photos.shape == (2, 2, 3, RECIPE.reference, RECIPE.reference)
    assert not torch.equal(photos[:, 0], photos[:, 1])
    assert len(texts) == 2


@pytest.mark.parametrize("world", [FIRST_WORLD, WHOLE_WORLD])
def test_scenes_are_of_the_world_of_the_recipe(world: Vocabulary, scenes: list[Scene]) -> None:
    dataset = OnTheFlyDataset(replace(RECIPE, world=world), seed=9)
    dataset.sample_images(250)
    assert {scene.background for scene in scenes} == set(world.backgrounds)
    assert {scene.style for scene in scenes} == set(world.styles)
    assert {placed.toy.class_name for scene in scenes for placed in scene.toys} == set(world.classes)
    assert all(placed.toy.seed < HELD_OUT for scene in scenes for placed in scene.toys)


def test_held_out_scenes_have_toys_that_are_never_trained_on(scenes: list[Scene]) -> None:
    OnTheFlyDataset(RECIPE, seed=9, identities="held_out").sample_images(50)
    assert all(placed.toy.seed >= HELD_OUT for scene in scenes for placed in scene.toys)
