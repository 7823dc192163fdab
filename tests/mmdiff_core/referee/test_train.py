"""Renders, augmentation and training of the referee, at toy size."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.referee import cached_renders as module
from mmdiff_core.referee import train as teaching
from mmdiff_core.referee.accuracy import measure_accuracy
from mmdiff_core.referee.augment import blurred, crop, degrade, spoil
from mmdiff_core.referee.cached_renders import NONE, CachedRenders, concatenate, render_samples, slot_map
from mmdiff_core.referee.network import FILE, Referee, RefereeConfig, load_referee, save_referee
from mmdiff_core.referee.referee_loss import RefereeLoss, RefereeLossWeights, segment_labels
from mmdiff_core.referee.stage import copy_matching, make_batch
from mmdiff_core.referee.train import Phase, RefereeTrainingOptions, train_referee
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from tests.helpers.markdown import cells
from tests.helpers.small_referee import CONFIG, VOCABULARY


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 12)
    monkeypatch.setattr(teaching, "SHARD", 12)
    monkeypatch.setattr(teaching, "HELD_OUT_SCENES", 6)
    monkeypatch.setattr(RefereeConfig, "of", classmethod(_small))


def _small(_: type, vocabulary: Vocabulary) -> RefereeConfig:
    return replace(CONFIG, classes=vocabulary.classes, backgrounds=vocabulary.backgrounds, styles=vocabulary.styles)


def test_renders_tell_the_truth_about_their_scenes() -> None:
    drawn = render_samples(random.Random(3), 8, VOCABULARY, CONFIG)
    rng = random.Random(3)
    scenes = [random_scene(rng, vocabulary=VOCABULARY) for _ in range(8)]
    for c, scene in enumerate(scenes):
        classes = [CONFIG.classes.index(placed.toy.class_name) for placed in scene.toys]
        assert [class_name for class_name in drawn.classes[c].tolist() if class_name != NONE] == classes
        assert CONFIG.backgrounds[int(drawn.backgrounds[c])] == scene.background
        assert set(drawn.slots[c].unique().tolist()) == set(range(len(classes) + 1))
        for s, placed in enumerate(scene.toys):
            main, _, _, pattern = drawn.attributes[c, s].tolist()
            assert (CONFIG.colours[main], CONFIG.patterns[pattern]) == (
                placed.toy.attributes.colour_names[0],
                placed.toy.attributes.pattern,
            )
            assert 0.05 < float((drawn.photo_slots[c, s] == 1).float().mean()) < 0.8


def test_slot_map_numbers_the_masks() -> None:
    masks = torch.zeros(1, 2, 1, 3, dtype=torch.bool)
    masks[0, 0, 0, 0] = masks[0, 1, 0, 2] = True
    assert slot_map(masks).tolist() == [[[1, 0, 2]]]


def test_pool_is_rendered_once_and_draws_the_toy_that_was_meant(tmp_path: Path) -> None:
    first = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    first.grow()
    first.grow()
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    again = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == times
    assert torch.equal(concatenate(again.shards).images, concatenate(first.shards).images)
    assert not torch.equal(first.shards[0].images, first.shards[1].images)
    drawn, pair = again.sample(random.Random(0), 2, 4)
    meant = drawn.classes[torch.arange(len(pair)), pair].tolist()
    assert meant[:4] == [meant[0]] * 4
    assert len(set(meant)) == 2


def test_crop_moves_picture_and_masks_alike() -> None:
    """A white square on black is where its mask is, mirrored or not."""
    pictures, slots = torch.zeros(4, 3, 32, 32), torch.zeros(4, 32, 32, dtype=torch.uint8)
    pictures[:, :, 4:16, 6:14], slots[:, 4:16, 6:14] = 1.0, 1
    for mirror in (False, True):
        moved, labels = crop(random.Random(1), pictures, slots, mirror)
        assert float(((moved[:, 0] > 0.5) == (labels == 1)).float().mean()) > 0.98
        middle = (labels == 1).nonzero()[:, 2].float().mean()
        assert (middle > 16) == mirror


def test_what_is_spoiled_cannot_be_made_out_and_what_is_degraded_can() -> None:
    picture = render_samples(random.Random(0), 1, VOCABULARY, CONFIG, size=96).images[0].float() / 255
    rng = random.Random(0)
    slight = max(float((degrade(rng, picture) - picture).abs().mean()) for _ in range(8))
    heavy = min(float((spoil(rng, picture) - picture).abs().mean()) for _ in range(8))
    assert slight < heavy
    for changed in (degrade(rng, picture), spoil(rng, picture), blurred(picture, 2.0)):
        assert changed.shape == picture.shape
        assert changed.isfinite().all()


def test_squares_of_a_segmentation_take_what_covers_most() -> None:
    slots = torch.tensor([[[1, 1, 0, 2], [1, 0, 2, 2]]], dtype=torch.uint8)
    assert segment_labels(slots, torch.tensor([[4, 0, NONE]])).tolist() == [[[5, 1]]]


def test_terms_of_a_lesson_and_where_their_gradient_goes(tmp_path: Path) -> None:
    pool = CachedRenders(tmp_path, VOCABULARY, CONFIG)
    pool.grow()
    network = RefereeLoss(Referee(CONFIG), RefereeLossWeights())
    terms = network(make_batch(random.Random(0), *pool.sample(random.Random(0), 2, 6), 1.0, "cpu"))
    assert terms.keys() == vars(RefereeLossWeights()).keys()
    torch.stack(list(terms.values())).sum().backward()
    untouched = [name for name, x in network.named_parameters() if x.grad is None or not x.grad.isfinite().all()]
    assert untouched == []


def test_smaller_pictures_show_the_same(tmp_path: Path) -> None:
    pool = CachedRenders(tmp_path, VOCABULARY, replace(CONFIG, size=96, photo_size=64))
    pool.grow()
    whole, small = (make_batch(random.Random(0), *pool.sample(random.Random(0), 1, 4), s, "cpu") for s in (1.0, 2 / 3))
    assert (whole.scenes.images.shape[-1], small.scenes.images.shape[-1]) == (96, 64)
    assert (whole.photos.images.shape[-1], small.photos.images.shape[-1]) == (64, 48)
    assert torch.equal(whole.scenes.classes, small.scenes.classes)
    share = [(batch.scenes.slots > 0).float().mean().item() for batch in (whole, small)]
    assert share[0] == pytest.approx(share[1], abs=0.01)


@pytest.mark.slow
def test_training_learns_stops_and_goes_on(tmp_path: Path) -> None:
    phases = (Phase("coarse", 1.0, 30, 16, 2e-3, (3,)), Phase("fine", 1.0, 2, 8, 1e-3, (1, 2)))
    options = RefereeTrainingOptions(tmp_path, VOCABULARY, phases=phases, scenes=20)
    train_referee(replace(options, minutes=0.0))
    assert torch.load(tmp_path / "coarse" / "state.pt", weights_only=True)["step"] == 0
    assert not (tmp_path / "fine").exists()
    measured = train_referee(options)
    lines = [json.loads(line) for line in (tmp_path / "coarse" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 30
    guessing = RefereeLossWeights().backgrounds * math.log(2)  # of two backgrounds
    assert lines[-1]["backgrounds"] < 0.8 * guessing
    assert {"noun", "place", "style", "iou", "mush"} <= measured.keys()
    assert len(list((tmp_path / "pool").iterdir())) <= 2
    assert (tmp_path / "referee.safetensors").read_bytes() == (tmp_path / "fine" / "referee.safetensors").read_bytes()
    assert load_referee(tmp_path / "referee.safetensors").config == CONFIG
    states = [(tmp_path / phase.name / "state.pt").stat().st_mtime_ns for phase in phases]
    assert train_referee(options) == measured  # finished phases are not run again
    assert [(tmp_path / phase.name / "state.pt").stat().st_mtime_ns for phase in phases] == states


def test_a_phase_trains_only_what_it_names(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_referee(Referee(CONFIG), tmp_path / "first.safetensors")
    phase = Phase("presence", 1.0, 2, 8, 1e-2, (3,), only=("nouns", "presence"))
    train_referee(
        RefereeTrainingOptions(tmp_path, VOCABULARY, start=tmp_path / "first.safetensors", phases=(phase,), scenes=4)
    )
    before, after = (load_referee(tmp_path / name).state_dict() for name in ("first.safetensors", FILE.name))
    changed = {name.split(".")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"nouns", "presence"}


def test_start_keeps_what_fits(tmp_path: Path) -> None:
    old, new = Referee(CONFIG), Referee(RefereeConfig(**{**vars(CONFIG), "classes": ("cat", "dog", "robot", "owl")}))
    anew = copy_matching(old, new)
    assert set(anew) == {"segments.weight", "segments.bias", "nouns.2.weight", "nouns.2.bias"}
    assert torch.equal(new.stem[0][0].weight, old.stem[0][0].weight)


def test_check_is_right_about_a_referee_that_knows_nothing() -> None:
    renders = render_samples(random.Random(0), 20, VOCABULARY, CONFIG, "held_out")
    torch.manual_seed(0)
    referee = Referee(CONFIG).eval()
    with torch.no_grad():
        referee.presence[-1].bias.fill_(50.0)  # every noun is everywhere
        referee.segments.bias[0] = 50.0  # and nowhere
    found = measure_accuracy(referee, renders, random.Random(0))
    assert (found["noun"].mean, found["alarm"].mean, found["mush"].mean, found["iou"].mean) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.slow
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train-referee", "--out", str(tmp_path), "--steps", "1", "--batch", "8", "--scenes", "4"]
    assert main(train) == 0
    assert main(["train-referee", "--out", str(tmp_path), "--check", "--scenes", "6"]) == 0
    assert ["iou", "≥ 0.85"] in [row[:2] for row in cells(capsys.readouterr().out)]
    assert json.loads((tmp_path / "accuracy.json").read_text()).keys() == {"asked", "256 px", "96 px"}
    first = tmp_path / "first"
    assert main([*train[:2], str(first), *train[3:], "--world", "first"]) == 0
    assert main(["train-referee", "--out", str(first), "--check", "--scenes", "6"]) == BAD_INPUT
    assert "owl" in capsys.readouterr().err
    assert main([*train, "--world", "flat"]) == BAD_INPUT
    assert "whole, first" in capsys.readouterr().err
    assert main(["train-referee", "--out", str(tmp_path / "new"), "--steps", "0"]) == BAD_INPUT
    assert main([*train, "--phases", "medium"]) == BAD_INPUT
    assert "coarse, fine, presence" in capsys.readouterr().err


def test_sheet_shows_pictures_and_regions(tmp_path: Path) -> None:
    train_referee(
        RefereeTrainingOptions(tmp_path, VOCABULARY, phases=(Phase("fine", 1.0, 1, 8, 1e-3, (3,)),), scenes=4)
    )
    stage = teaching.RefereeStage(
        load_referee(tmp_path / "referee.safetensors"),
        CachedRenders(tmp_path / "pool", VOCABULARY, CONFIG),
        render_samples(random.Random(0), 3, Vocabulary(("cat",), ("snow",), ("photo",), ()), CONFIG),
        tmp_path,
        teaching.StageSettings(1, 8, 1e-3),
        shards=1,
    )
    assert isinstance(stage.sheet(), Image.Image)
