"""Cached renders: they say the truth about their scenes, are rendered once, and keep the keys of their files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mmdiff_core.referee import cached_renders
from mmdiff_core.referee.cached_renders import NONE, CachedRenders, Renders, concatenate, render_samples, slot_map
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_renders, "SHARD", 12)


def test_renders_say_the_truth_about_their_scenes() -> None:
    drawn = render_samples(random.Random(3), 8, VOCABULARY, CONFIG)
    rng = random.Random(3)
    scenes = [random_scene(rng, vocabulary=VOCABULARY) for _ in range(8)]
    assert len(drawn) == 8
    for c, scene in enumerate(scenes):
        classes = [CONFIG.classes.index(placed.toy.class_name) for placed in scene.toys]
        assert [number for number in drawn.classes[c].tolist() if number != NONE] == classes
        assert CONFIG.backgrounds[int(drawn.backgrounds[c])] == scene.background
        assert set(drawn.slots[c].unique().tolist()) == set(range(len(classes) + 1))
        for s, placed in enumerate(scene.toys):
            main, second, accent, pattern = drawn.attributes[c, s].tolist()
            attributes = placed.toy.attributes
            assert tuple(CONFIG.colours[k] for k in (main, second, accent)) == attributes.colour_names
            assert CONFIG.patterns[pattern] == attributes.pattern
            assert 0.05 < float((drawn.photo_slots[c, s] == 1).float().mean()) < 0.8
        for s in range(len(scene.toys), cached_renders.SUBJECTS):
            assert drawn.attributes[c, s].tolist() == [NONE] * 4
            assert not drawn.photos[c, s].any()


def test_a_size_may_be_given() -> None:
    drawn = render_samples(random.Random(3), 1, VOCABULARY, CONFIG, size=48)
    assert drawn.images.shape[-1] == drawn.photos.shape[-1] == 48


def test_slot_map_numbers_the_masks() -> None:
    masks = torch.zeros(1, 2, 1, 3, dtype=torch.bool)
    masks[0, 0, 0, 0] = masks[0, 1, 0, 2] = True
    assert slot_map(masks).tolist() == [[[1, 0, 2]]]


def test_shards_are_rendered_once(tmp_path: Path) -> None:
    first = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    first.grow()
    first.grow()
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    again = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == times
    assert torch.equal(concatenate(again.shards).images, concatenate(first.shards).images)
    assert not torch.equal(first.shards[0].images, first.shards[1].images)


def test_a_sample_has_some_toys_of_some_classes(tmp_path: Path) -> None:
    dataset = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    dataset.grow()
    drawn, pair = dataset.sample(random.Random(0), 2, 4)
    meant = drawn.classes[torch.arange(len(pair)), pair].tolist()
    assert meant[:4] == [meant[0]] * 4
    assert len(set(meant)) == 2
    everything, pair = dataset.sample(random.Random(0), 99, 99)
    assert len(pair) == int((dataset.shards[0].classes != NONE).sum()) == len(everything)


def test_files_keep_the_keys_of_earlier_versions(tmp_path: Path) -> None:
    dataset = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    dataset.grow()
    with safe_open(tmp_path / "00000.safetensors", framework="pt") as file:
        keys = set(file.keys())
        assert torch.equal(file.get_tensor("nouns"), dataset.shards[0].classes)
    assert keys == {
        *("pictures", "slots", "places", "styles", "nouns", "looks"),
        *("photos", "photo_slots", "photo_places"),
    }
    assert len(keys) == len(vars(dataset.shards[0]))


def test_renders_are_joined_in_order() -> None:
    one, two = (render_samples(random.Random(k), 2, VOCABULARY, CONFIG) for k in range(2))
    both = concatenate([one, two])
    assert isinstance(both, Renders)
    assert torch.equal(both.images[2:], two.images)
    assert torch.equal(both.attributes[:2], one.attributes)
