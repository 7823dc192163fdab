"""The referee as a stage: its batches, its sheet, its result, and what an earlier referee gives to it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.referee import cached_renders
from mmdiff_core.referee.cached_renders import CachedRenders, render_samples
from mmdiff_core.referee.network import Referee, RefereeConfig, load_referee
from mmdiff_core.referee.stage import RefereeStage, copy_matching, make_batch
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.training.stage import StageSettings
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RefereeStage:
    monkeypatch.setattr(cached_renders, "SHARD", 12)
    torch.manual_seed(0)
    held_out = render_samples(random.Random(0), 3, VOCABULARY, CONFIG, "held_out")
    return RefereeStage(
        Referee(CONFIG), CachedRenders(tmp_path / "pool", VOCABULARY, CONFIG), held_out, tmp_path,
        StageSettings(2, 8, 1e-3), shards=2, grow_every=2, classes=(2,),
    )  # fmt: skip


def test_the_dataset_grows_while_training(stage: RefereeStage) -> None:
    sizes = []
    for _ in range(5):
        stage.batch()
        sizes.append(len(stage.dataset.shards))
    assert sizes == [1, 1, 2, 2, 2]


def test_a_batch_has_pairs_of_few_classes(stage: RefereeStage) -> None:
    batch = stage.batch()
    assert len(batch.pair) == 4  # half of 8 images
    meant = batch.scenes.classes[torch.arange(4), batch.pair]
    assert torch.equal(meant, batch.photos.classes[:, 0])
    assert len(meant.unique()) == 2
    assert not batch.photos.classes[:, 1:].ge(0).any()  # a photo shows one toy


def test_a_step_has_its_samples_whenever_it_comes(stage: RefereeStage) -> None:
    stage.dataset.grow()
    stage.dataset.grow()  # as large as it may become
    stage.seek(7)
    first = stage.batch()
    stage.batch()
    stage.seek(7)
    assert torch.equal(stage.batch().pair, first.pair)


def test_smaller_images_show_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_renders, "SHARD", 12)
    dataset = CachedRenders(tmp_path, VOCABULARY, replace(CONFIG, size=192, photo_size=128))
    dataset.grow()
    samples = dataset.sample(random.Random(0), 1, 4)
    whole, small = (make_batch(random.Random(0), *samples, scale, "cpu") for scale in (1.0, 2 / 3))
    assert (whole.scenes.images.shape[-1], small.scenes.images.shape[-1]) == (192, 128)
    assert (whole.photos.images.shape[-1], small.photos.images.shape[-1]) == (128, 96)
    assert torch.equal(whole.scenes.classes, small.scenes.classes)
    share = [(batch.scenes.slots > 0).float().mean().item() for batch in (whole, small)]
    assert share[0] == pytest.approx(share[1], abs=0.01)


def test_a_sheet_shows_images_and_regions(stage: RefereeStage) -> None:
    sheet = stage.sheet()
    assert sheet.size == (3 * (64 + 2), 2 * (64 + 2))  # regions of 32 squares, drawn twice as large
    assert sheet.crop((0, 0, 64, 64)).getextrema()[0][1] > 50


def test_finishing_writes_and_measures(stage: RefereeStage, tmp_path: Path) -> None:
    measured = stage.finish()
    assert {"noun", "place", "style", "iou"} <= measured.keys()
    assert stage.referee.training
    assert load_referee(tmp_path / "referee.safetensors").config == CONFIG


def test_only_the_named_modules_are_trained(stage: RefereeStage, tmp_path: Path) -> None:
    some = RefereeStage(
        stage.referee, stage.dataset, stage.held_out, tmp_path, stage.settings, shards=1, only=("nouns", "presence")
    )
    names = {name for name, x in some.network.named_parameters() if x.requires_grad}
    assert {name.split(".")[1] for name in names if "." in name} == {"nouns", "presence"}
    assert len(some.trained()) == len(names) < len(stage.trained()) + len(names)


def test_a_new_referee_keeps_what_fits_of_an_old_one() -> None:
    wider = Vocabulary(("cat", "dog", "robot", "owl"), VOCABULARY.backgrounds, VOCABULARY.styles, ())
    old, new = Referee(CONFIG), Referee(RefereeConfig(**{**vars(CONFIG), "classes": wider.classes}))
    fresh = copy_matching(old, new)
    assert set(fresh) == {"segments.weight", "segments.bias", "nouns.2.weight", "nouns.2.bias"}
    assert torch.equal(new.stem[0][0].weight, old.stem[0][0].weight)
