"""Cached samples: the same shard from any process, and encoder outputs that belong to their images and photos."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL

from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.errors import TrainingError
from mmdiff_core.training.toybox import cached_dataset
from mmdiff_core.training.toybox.cached_dataset import CachedDataset, encode_latents, open_shard
from mmdiff_core.training.toybox.create import create_autoencoder, create_image_encoder
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from tests.helpers.toybox_training import RECIPE, SHARD_SIZE, render_shards

MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_dataset, "SHARD_SIZE", SHARD_SIZE)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_shards(tmp_path_factory.mktemp("rendered"))


@pytest.fixture
def dataset(tmp_path: Path, rendered: Path) -> CachedDataset:
    """A copy to change."""
    dataset = CachedDataset(shutil.copytree(rendered, tmp_path / "dataset"), RECIPE)
    dataset.refresh()
    return dataset


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return create_autoencoder(RECIPE).eval()


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    torch.manual_seed(0)
    return ImageEncoder(create_image_encoder(RECIPE)).eval()


def test_a_shard_holds_what_was_rendered(dataset: CachedDataset) -> None:
    rendered = OnTheFlyDataset(RECIPE, seed=RECIPE.seed + 1 + 2).sample(SHARD_SIZE)  # shard 2
    taken = dataset.shards[dataset.folder / "00002.safetensors"].take(range(SHARD_SIZE))
    for name in ("images", "masks", "references", "present"):
        assert torch.equal(getattr(taken, name), getattr(rendered, name)), name
    assert taken.captions == rendered.captions
    assert taken.descriptions == rendered.descriptions
    some = dataset.shards[dataset.folder / "00002.safetensors"].take([4, 1])
    assert torch.equal(some.references, rendered.references[[4, 1]])
    assert some.captions == (rendered.captions[4], rendered.captions[1])


def check_that_missing_shards_are_rendered(dataset: CachedDataset) -> None:
    first, second, kept = (dataset.folder / f"0000{k}.safetensors" for k in range(3))
    time = kept.stat().st_mtime_ns
    for path in (first, second):
        path.unlink()
    again = CachedDataset(dataset.folder, RECIPE)
    again.render(workers=2)
    for path in (first, second):
        assert torch.equal(again.shards[path].images, dataset.shards[path].images)
    assert kept.stat().st_mtime_ns == time


def test_only_missing_shards_are_rendered(dataset: CachedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_dataset, "ProcessPoolExecutor", lambda workers, *_, **__: ThreadPoolExecutor(workers))
    check_that_missing_shards_are_rendered(dataset)


@pytest.mark.slow
def test_several_processes_render_the_same_shards(dataset: CachedDataset) -> None:
    check_that_missing_shards_are_rendered(dataset)


def test_new_shards_are_noticed(dataset: CachedDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_dataset, "REFRESH_EVERY", 2)
    gone = dataset.folder / "00001.safetensors"
    kept = gone.rename(dataset.folder / "kept")
    other = CachedDataset(dataset.folder, RECIPE)
    other.refresh()
    assert len(other.shards) == 2
    kept.rename(gone)
    other.sample(1)
    assert len(other.shards) == 2
    other.sample(1)
    assert len(other.shards) == 3


def test_a_resumed_run_sees_other_samples(dataset: CachedDataset) -> None:
    def captions(step: int) -> list[str]:
        dataset.seek(step)
        return [caption.detailed for caption in dataset.sample(6).captions]

    assert captions(7) == captions(7)
    assert captions(7) != captions(8)


def test_photo_pairs_show_one_toy_twice(dataset: CachedDataset) -> None:
    photos, texts = dataset.sample_photo_pairs(5)
    assert photos.shape == (5, 2, 3, RECIPE.reference, RECIPE.reference)
    assert len(texts) == 5
    assert not torch.equal(photos[:, 0], photos[:, 1])


def test_images_come_with_the_regions_of_their_subjects(dataset: CachedDataset) -> None:
    images, subjects = dataset.sample_images(2)
    assert images.shape == (2, 3, RECIPE.size, RECIPE.size)
    assert (subjects.flatten(1).amax(1) > 100).all()


def test_latents_belong_to_their_images(dataset: CachedDataset, vae: AutoencoderKL) -> None:
    images = {path: shard.images for path, shard in dataset.shards.items()}
    dataset.encode_with(vae)
    for path, shard in dataset.shards.items():
        assert shard.images is None
        assert torch.equal(shard.latents, encode_latents(vae, images[path]))
    samples = dataset.sample(6)
    assert samples.latents.shape == (6, 4, 8, 8)
    assert samples.references is not None


@torch.no_grad()
def test_features_belong_to_their_photos(dataset: CachedDataset, vae: AutoencoderKL, encoder: ImageEncoder) -> None:
    path, shard = next(iter(dataset.shards.items()))
    photos = shard.take(range(SHARD_SIZE)).references
    dataset.encode_with(vae, encoder)
    taken = dataset.shards[path].take(range(SHARD_SIZE))
    assert taken.references is None
    assert taken.features.cls.dtype == taken.features.patches.dtype == torch.float16
    for row, s in taken.present.nonzero().tolist():
        cls, patches = encoder.encode(photos[row, s].float() / 255)
        torch.testing.assert_close(taken.features.cls[row, s].float(), cls, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(taken.features.patches[row, s].float(), patches, rtol=1e-3, atol=1e-3)
    assert (taken.features.cls[~taken.present] == 0).all()
    assert torch.equal(taken.features.present, taken.present[..., None].expand(-1, -1, RECIPE.photos))


def test_encoder_outputs_are_computed_once(
    dataset: CachedDataset, vae: AutoencoderKL, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset.encode_with(vae, encoder)
    first = dataset.sample(3)

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(cached_dataset, "encode_latents", refuse)
    monkeypatch.setattr(cached_dataset, "encode_features", refuse)
    again = CachedDataset(dataset.folder, RECIPE)
    again.refresh()
    again.encode_with(vae, encoder)
    assert torch.equal(again.sample(3).features.patches, first.features.patches)


def test_other_encoders_encode_anew(dataset: CachedDataset) -> None:
    for seed in range(2):
        torch.manual_seed(seed)
        dataset.encode_with(create_autoencoder(RECIPE), ImageEncoder(create_image_encoder(RECIPE)))
    for kind in ("latents", "features"):
        folders = list(dataset.folder.glob(f"{kind}-*"))
        assert len(folders) == 2
        assert all(len(list(folder.iterdir())) == 3 for folder in folders)


def test_encoded_tensors_carry_no_gradient() -> None:
    vae: AutoencoderKL = create_autoencoder(RECIPE)  # its weights ask for gradients
    latents = encode_latents(vae, torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    assert not latents.requires_grad
    assert latents.grad_fn is None


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux lists what is mapped")
def test_shards_are_mapped_and_not_read(dataset: CachedDataset) -> None:
    path = next(iter(dataset.shards))
    shard = open_shard(path)
    assert str(path) in MAPS.read_text()
    assert shard.images is not None


def test_an_empty_dataset_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match='add "dataset" to the --stages'):
        CachedDataset(tmp_path / "none", RECIPE).refresh()
