"""Training data: the same shard from any process, samples that keep together what belongs together."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.errors import TrainingError
from mmdiff_core.toyworld.bodies.toys import ACCESSORIES
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.renderer import Rendered, render
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, STYLE_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, random_scene
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary
from mmdiff_core.training.toybox import cached_dataset
from mmdiff_core.training.toybox.create import captions, create_autoencoder, create_tokenizer
from mmdiff_core.training.toybox.recipes import RECIPES
from mmdiff_core.training.toybox.run import POOL, RunOptions, filling_beside

RECIPE = replace(RECIPES["rehearsal"], pool=24)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_dataset, "SHARD", 8)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cached_dataset, "SHARD", 8)
        cached_dataset.Pool(folder, RECIPE).fill()
    return folder


@pytest.fixture
def pool(tmp_path: Path, rendered: Path, small_shards: None) -> cached_dataset.Pool:
    """A pool of one's own."""
    shutil.copytree(rendered, tmp_path / "pool")
    pool = cached_dataset.Pool(tmp_path / "pool", RECIPE)
    pool.refresh()
    return pool


def test_stream_is_a_function_of_its_seed() -> None:
    first, again, other = (cached_dataset.Stream(RECIPE, seed).samples(4) for seed in (3, 3, 4))
    assert torch.equal(first.pictures, again.pictures)
    assert first.captions == again.captions
    assert not torch.equal(first.pictures, other.pictures)


def test_a_resumed_run_draws_other_samples(pool: cached_dataset.Pool) -> None:
    def drawn(step: int) -> list[str]:
        pool.seek(step)
        stream = cached_dataset.Stream(RECIPE, seed=3)
        stream.seek(step)
        return [caption.detailed for source in (pool, stream) for caption in source.samples(6).captions]

    assert drawn(7) == drawn(7)
    assert drawn(7)[:6] != drawn(8)[:6]
    assert drawn(7)[6:] != drawn(8)[6:]


def test_sample_has_a_mask_and_photos_for_each_named_subject() -> None:
    samples = cached_dataset.Stream(RECIPE, seed=5).samples(12)
    for row, caption in enumerate(samples.captions):
        count = int(samples.present[row].sum())
        assert count == len(caption.names) == len(samples.descriptions[row])
        assert len(find_words(caption.text, caption.names)[1]) == count
        assert (samples.masks[row, :count].flatten(1).amax(1) > 100).all()
        assert (samples.masks[row, count:] == 0).all()
        assert (samples.references[row, :count].flatten(2).float().std(-1) > 1).all()


def test_pool_gives_back_what_was_rendered(pool: cached_dataset.Pool) -> None:
    rendered = cached_dataset.Stream(RECIPE, seed=RECIPE.seed + 1 + 2).samples(8)  # shard 2
    kept = pool.shards[pool.folder / "00002.safetensors"]
    assert torch.equal(kept.pictures, rendered.pictures)
    assert torch.equal(kept.references, rendered.references)
    assert kept.captions == rendered.captions
    assert kept.descriptions == rendered.descriptions


def test_several_processes_fill_a_pool_as_one_does(pool: cached_dataset.Pool, tmp_path: Path) -> None:
    together = cached_dataset.Pool(tmp_path / "together", RECIPE)
    together.fill(workers=2)
    for path, shard in pool.shards.items():
        assert torch.equal(shard.pictures, together.shards[together.folder / path.name].pictures)


def test_pool_fills_only_what_is_missing(pool: cached_dataset.Pool) -> None:
    gone, stays = (pool.folder / f"0000{k}.safetensors" for k in (1, 2))
    stays_time = stays.stat().st_mtime_ns
    gone.unlink()
    again = cached_dataset.Pool(pool.folder, RECIPE)
    again.fill()
    assert torch.equal(again.shards[gone].pictures, pool.shards[gone].pictures)
    assert stays.stat().st_mtime_ns == stays_time


def test_pool_latents_belong_to_their_pictures(pool: cached_dataset.Pool) -> None:
    vae: AutoencoderKL = create_autoencoder(RECIPE).eval()
    pictures = {path: shard.pictures for path, shard in pool.shards.items()}
    pool.encode_with(vae)
    for path, shard in pool.shards.items():
        assert torch.equal(shard.latents, cached_dataset.encode(vae, pictures[path]))
    assert pool.samples(6).latents.shape == (6, 4, 8, 8)


def test_latents_carry_no_gradient() -> None:
    vae: AutoencoderKL = create_autoencoder(RECIPE)  # its weights ask for gradients
    latents = cached_dataset.encode(vae, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert not latents.requires_grad
    assert latents.grad_fn is None


def test_another_autoencoder_encodes_anew(pool: cached_dataset.Pool) -> None:
    torch.manual_seed(1)
    for _ in range(2):
        pool.encode_with(create_autoencoder(RECIPE).eval())
    assert len(list(pool.folder.glob("latents-*"))) == 2


def test_photo_pairs_show_one_toy_twice(pool: cached_dataset.Pool) -> None:
    photos, texts = pool.photo_pairs(5)
    assert photos.shape == (5, 2, 3, RECIPE.reference, RECIPE.reference)
    assert len(texts) == 5
    assert not torch.equal(photos[:, 0], photos[:, 1])


@pytest.mark.parametrize("world", [FIRST_WORLD, WHOLE_WORLD])
def test_stream_draws_from_the_world_of_its_recipe(
    world: Vocabulary, small_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Scene] = []

    def noting(scenes: list[Scene], size: int, device: str) -> Rendered:
        drawn.extend(scenes)
        return render(scenes, 8, device)

    monkeypatch.setattr(cached_dataset, "render", noting)
    stream = cached_dataset.Stream(replace(RECIPE, world=world), seed=9)
    stream.samples(40)
    stream.pictures(150)
    stream.photo_pairs(10)
    assert {scene.background for scene in drawn} == set(world.backgrounds)
    assert {scene.style for scene in drawn} == set(world.styles)
    assert {placed.toy.class_name for scene in drawn for placed in scene.toys} == set(world.classes)


def test_recipes_name_their_worlds(tmp_path: Path) -> None:
    worlds = {name: recipe.world for name, recipe in RECIPES.items()}
    assert worlds["cpu"] == worlds["rehearsal"] == FIRST_WORLD
    assert worlds["gpu"] == WHOLE_WORLD
    RECIPES["gpu"].write(tmp_path, {})
    assert json.loads((tmp_path / "recipe.json").read_text())["world"]["places"] == list(WHOLE_WORLD.backgrounds)


def test_tokenizer_of_a_full_model_has_every_word_of_the_world() -> None:
    shapes = RECIPES["gpu"].shapes
    tokenizer = create_tokenizer(shapes, captions(0, 4000))
    nouns = [word for words in CLASS_WORDS.values() for word in words]
    styles = [phrase for pair in STYLE_WORDS.values() for phrases in pair for phrase in phrases]
    places = [phrase for phrases in BACKGROUND_WORDS.values() for phrase in phrases]
    words = {word for text in (*nouns, *styles, *places, *COLOURS, *ACCESSORIES) for word in text.split()}
    assert not [word for word in words if word.isalpha() and len(tokenizer.tokenize(word)) > 1]


def test_empty_pool_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='name "pool" among the --stages'):
        cached_dataset.Pool(tmp_path / "none", RECIPE).refresh()


def test_training_never_sees_a_held_out_identity() -> None:
    rng = random.Random(0)
    assert all(placed.toy.seed < HELD_OUT for _ in range(300) for placed in random_scene(rng).toys)
    assert all(p.toy.seed >= HELD_OUT for _ in range(50) for p in random_scene(rng, identities="held_out").toys)


def test_a_pool_fills_beside_the_stages_of_a_gpu(tmp_path: Path) -> None:
    options = RunOptions(tmp_path, (POOL, "base"), device="cuda", workers=2)  # rendering touches no GPU
    with filling_beside(RECIPE, options) as filled:
        filled()
        pool = cached_dataset.Pool(tmp_path / POOL, RECIPE)
        pool.refresh()
        assert len(pool.samples(4).captions) == 4


def test_a_pool_that_cannot_be_filled_is_named(tmp_path: Path) -> None:
    options = RunOptions(tmp_path, (POOL, "base"), device="cuda")
    with filling_beside(replace(RECIPE, size=0), options) as filled, pytest.raises(TrainingError, match="the pool"):
        filled()
