"""The student's stage: what it learns from, that it learns, and what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from mmdiff_core.backbones.toybox import STUDENT_FOLDER, load_toybox
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.training.distillation.student import StudentStage
from mmdiff_core.training.distillation.trajectories import PER_FILE
from mmdiff_core.training.optimizer import make_optimizers
from mmdiff_core.training.toybox import flow_matching
from mmdiff_core.training.toybox.cached_dataset import CachedDataset
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.toybox_training import RECIPE, render_shards

pytestmark = pytest.mark.slow

SETTINGS = replace(RECIPE.stages["student"], batch=8)
NUMBERS = replace(RECIPE.distillation, images=PER_FILE)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_shards(tmp_path_factory.mktemp("dataset"), count=2)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save_toybox(tmp_path / "model")


@pytest.fixture
def stage(model: Path, shards: Path) -> StudentStage:
    return make_stage(model, shards)


def make_stage(model: Path, shards: Path) -> StudentStage:
    backbone, adapter = load_toybox(model)
    dataset, held_out = CachedDataset(shards, RECIPE), OnTheFlyDataset(RECIPE, seed=1, identities="held_out")
    dataset.refresh()
    dataset.encode_with(backbone.vae, backbone.image_encoder)
    trajectories = model.parent / "trajectories"
    return StudentStage(
        model, backbone, adapter, dataset, held_out, SETTINGS, RECIPE.losses, RECIPE.mix, 0, trajectories, NUMBERS
    )


def test_the_teachers_mean_velocity_leads_from_one_state_to_the_next(stage: StudentStage) -> None:
    """Sampling with it in the place of the network's answers gives the teacher's image."""
    stage.seek(0)
    batch = stage.batch()
    scheduler = stage.backbone.fresh_scheduler()
    scheduler.set_timesteps(NUMBERS.steps)
    file = stage._files[0]
    for row, (sigma, velocity) in enumerate(zip(batch.sigma, batch.velocity, strict=True)):
        step = (scheduler.timesteps / 1000).sub(sigma).abs().argmin()
        start = batch.conditions.latents[row]
        image = next(n for n in range(PER_FILE) if torch.equal(file.states[n, step].float(), start))
        stepper = stage.backbone.fresh_scheduler()
        stepper.set_timesteps(NUMBERS.steps)
        stepper._step_index = int(step)
        after = stepper.step(velocity[None], scheduler.timesteps[step], start[None]).prev_sample[0]
        assert torch.allclose(after, file.states[image, step + 1].float(), atol=2e-3)


def test_the_student_alone_learns_and_its_loss_falls(stage: StudentStage) -> None:
    names = [name for name, parameter in stage.network.named_parameters() if parameter.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    assert any("resnets" in name for name in names)
    (optimizer,) = make_optimizers(stage.trained(), replace(SETTINGS, lr=3e-3))
    stage.seek(0)
    batch, losses = stage.batch(), []
    for _ in range(12):
        terms = stage.network(batch)
        assert terms.keys() == {"denoise", "text_map", "image_map"}
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(terms["denoise"]))
    assert losses[-1] < 0.95 * losses[0]


def test_trajectories_are_made_once(model: Path, stage: StudentStage, shards: Path) -> None:
    (file,) = (model.parent / "trajectories").iterdir()
    written = file.stat().st_mtime_ns
    stage.seek(3)
    again = make_stage(model, shards)
    again.seek(3)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(again.batch().velocity, stage.batch().velocity)


def test_what_it_leaves_opens_here_and_in_stock_diffusers(model: Path, stage: StudentStage) -> None:
    for name, parameter in stage.backbone.unet.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
    stage.finish()
    loaded, adapter = load_toybox(model)
    assert loaded.student is not None
    assert loaded.fast == loaded.student.defaults
    assert (loaded.fast.steps, loaded.fast.guidance, loaded.fast.scheduler) == (NUMBERS.steps, 1.0, "distilled")
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), scheduler="distilled")
    trained, opened = Personalizer(stage.backbone, stage.adapter), Personalizer(loaded, adapter)
    *_, expected = trained.generate(replace(request, scheduler=None))
    *_, made = opened.generate(request)
    assert largest_difference(made.finished.image, expected.finished.image) <= 1  # weights in half precision
    pipe = StableDiffusionPipeline.from_pretrained(model)
    pipe.load_lora_weights(model / STUDENT_FOLDER)
    pipe.fuse_lora()
    stock, own = dict(pipe.unet.named_parameters()), dict(loaded.student.unet.named_parameters())
    name = "mid_block.resnets.0.conv1"
    assert torch.allclose(stock[f"{name}.base_layer.weight"], own[f"{name}.weight"], atol=1e-6)


def largest_difference(first: Image.Image, second: Image.Image) -> int:
    """Of the values of a pixel."""
    return int(np.abs(np.asarray(first, dtype=int) - np.asarray(second, dtype=int)).max())


def test_a_sheet_shows_the_students_images(stage: StudentStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_matching, "SHEET_IMAGES", 1)
    calls: list[int] = []
    forward = stage.backbone.unet.forward
    monkeypatch.setattr(stage.backbone.unet, "forward", lambda *a, **k: calls.append(len(a[0])) or forward(*a, **k))
    assert stage.sheet().getbbox() is not None
    assert calls == [1] * NUMBERS.steps  # one row each: no guidance
