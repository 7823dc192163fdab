"""The denoising loop with the schedulers that people use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, SchedulerMixin

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.generation.sampling import SampleSettings, apply_guidance, expected_clean, sample
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition
from tests.helpers import tiny

SETTINGS = SampleSettings(seed=3, steps=4, guidance=5.0, start_step=0, width=32, height=32)
STOCK_SCHEDULERS = [
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
]
QUICK = ("DDIMScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler")  # in the plain run
EVALUATIONS_OF_STEPS = {  # which step, from 1, each evaluation of the network belongs to, for four steps
    "EulerDiscreteScheduler": [1, 2, 3, 4],
    "HeunDiscreteScheduler": [1, 1, 2, 2, 3, 3, 4],
    "KDPM2DiscreteScheduler": [1, 1, 2, 2, 3, 3, 4],
    "KDPM2AncestralDiscreteScheduler": [1, 1, 2, 2, 3, 3, 4],
    "PNDMScheduler": [1, 1, 2, 3, 4],
    "PNDMScheduler with a Runge-Kutta start": [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return tiny.load_stable_diffusion(folder)[0]


@torch.no_grad()
def _condition(backbone: Backbone, prompt: str, negative: str | None = "") -> Condition:
    tokens = [tokenize(backbone.tokenizers[0], prompt)]
    without = None if negative is None else [tokenize(backbone.tokenizers[0], negative)]
    return build_condition(backbone, None, {}, tokens, size=(32, 32), negative=without)


def _scheduler(name: str) -> SchedulerMixin:
    return getattr(diffusers, name)(beta_schedule="scaled_linear")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in STOCK_SCHEDULERS]
)
def test_every_scheduler_gives_the_stock_pipelines_picture(name: str, folder: Path, backbone: Backbone) -> None:
    """Those that draw noise draw it after the latents, from the same generator."""
    ours = replace(backbone, scheduler=_scheduler(name))
    condition = _condition(ours, "a cat on the beach")
    *_, last = sample(ours, condition, condition, SETTINGS)
    pipe = tiny.open_stock(str(folder))
    pipe.scheduler = _scheduler(name)
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(
        "a cat on the beach",
        num_inference_steps=4,
        guidance_scale=5.0,
        height=32,
        width=32,
        generator=torch.Generator().manual_seed(3),
    ).images[0]
    assert np.array_equal(np.asarray(ours.decode(last.latents)[0]), np.asarray(expected))


@pytest.mark.parametrize("name", EVALUATIONS_OF_STEPS)
def test_a_step_is_a_step_however_often_the_network_is_evaluated(
    name: str, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, options = EVALUATIONS_OF_STEPS[name], {"skip_prk_steps": "Runge" not in name} if "PNDM" in name else {}
    scheduler = getattr(diffusers, name.split()[0])(beta_schedule="scaled_linear", **options)
    ours, seen = replace(backbone, scheduler=scheduler), []
    plain, personal = _condition(backbone, "a beach"), _condition(backbone, "a robot")
    predict = type(backbone).predict_noise

    def watched(self, latents, timestep, condition, recorder=None):
        seen.append((condition is personal, recorder is not None))
        return predict(self, latents, timestep, condition, recorder)

    monkeypatch.setattr(type(backbone), "predict_noise", watched)
    steps = list(sample(ours, plain, personal, replace(SETTINGS, start_step=1), Recorder(), AttentionMaps(())))
    assert [(step.step, step.steps) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [late for late, _ in seen] == [step > 1 for step in expected]
    firsts = [index == 0 or expected[index - 1] != step for index, step in enumerate(expected)]
    assert [recorded for _, recorded in seen] == firsts


def test_the_template_scheduler_is_never_used(backbone: Backbone) -> None:
    ours = replace(backbone, scheduler=_scheduler("UniPCMultistepScheduler"))
    before = {key: str(value) for key, value in vars(ours.scheduler).items()}
    condition = _condition(ours, "a cat")
    list(sample(ours, condition, condition, SETTINGS))
    assert {key: str(value) for key, value in vars(ours.scheduler).items()} == before


def test_start_step_switches_from_plain_to_personal(backbone: Backbone) -> None:
    plain, personal = _condition(backbone, "a beach"), _condition(backbone, "a robot")
    switched = list(sample(backbone, plain, personal, replace(SETTINGS, start_step=2)))
    only_plain = list(sample(backbone, plain, plain, SETTINGS))
    same = [torch.equal(a.latents, b.latents) for a, b in zip(switched, only_plain, strict=True)]
    assert same == [True, True, False, False]


def test_given_latents_replace_the_seeds(backbone: Backbone) -> None:
    condition = _condition(backbone, "a cat")
    noise = backbone.noise(8, 32, 32)
    given = next(sample(backbone, condition, condition, SETTINGS, latents=noise))
    seeded = next(sample(backbone, condition, condition, replace(SETTINGS, seed=8)))
    assert torch.equal(given.latents, seeded.latents)


def test_guided_row_alone_is_not_guided(backbone: Backbone) -> None:
    condition = _condition(backbone, "a cat", negative=None)
    steps = [next(sample(backbone, condition, condition, replace(SETTINGS, guidance=g))).latents for g in (0.0, 1.0)]
    assert torch.equal(*steps)
    assert len(condition.conditional) == 1


def test_guidance_moves_away_from_the_unguided_half() -> None:
    prediction = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert apply_guidance(prediction, torch.tensor([False, True]), 2.5).item() == 6.0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DDIMScheduler", "epsilon"),
        ("DDIMScheduler", "v_prediction"),
        ("DDIMScheduler", "sample"),
        ("EulerDiscreteScheduler", "epsilon"),
        ("EulerDiscreteScheduler", "v_prediction"),
    ],
)
def test_expected_clean_is_the_schedulers_own(name: str, kind: str) -> None:
    options = {"clip_sample": False} if name == "DDIMScheduler" else {}
    scheduler = getattr(diffusers, name)(beta_schedule="scaled_linear", prediction_type=kind, **options)
    scheduler.set_timesteps(10)
    timestep = scheduler.timesteps[4]
    drawn = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 4, 4, generator=drawn) * scheduler.init_noise_sigma
    prediction = torch.randn(1, 4, 4, 4, generator=drawn)
    noisy = scheduler.scale_model_input(latents, timestep)
    expected = scheduler.step(prediction, timestep, latents).pred_original_sample
    assert torch.allclose(expected_clean(scheduler, prediction, noisy, timestep), expected, atol=2e-3, rtol=2e-3)


def test_expected_clean_of_a_flow() -> None:
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0)
    scheduler.set_timesteps(10)
    clean, noise = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    timestep, sigma = scheduler.timesteps[4], scheduler.sigmas[4]
    noisy = (1 - sigma) * clean + sigma * noise
    assert torch.allclose(expected_clean(scheduler, noise - clean, noisy, timestep), clean, atol=5e-3)


def test_last_expected_picture_is_nearly_the_result(backbone: Backbone) -> None:
    condition = _condition(backbone, "a cat")
    *_, last = sample(replace(backbone, scheduler=EulerDiscreteScheduler()), condition, condition, SETTINGS)
    assert torch.allclose(last.clean, last.latents, atol=0.05 * last.latents.abs().max().item())


def test_recorder_is_sealed_between_steps(backbone: Backbone) -> None:
    condition = _condition(backbone, "a cat")
    recorder = Recorder()
    *_, last = sample(backbone, condition, condition, SETTINGS, recorder, AttentionMaps(()))
    recorder.add(None)  # a late replay
    assert recorder.layers == ()
    assert last.maps is not None


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("own", [DDIMScheduler, EulerDiscreteScheduler])
def test_euler_and_ddim_are_the_stock_schedulers(own: type[SchedulerMixin], kind: str, backbone: Backbone) -> None:
    noise = {
        "beta_schedule": "scaled_linear",
        "timestep_spacing": "leading",
        "steps_offset": 1,
        "prediction_type": kind,
    }
    ours = replace(backbone, scheduler=own(**noise))
    stock = {
        "euler": EulerDiscreteScheduler(**noise),
        "ddim": DDIMScheduler(**noise, clip_sample=False, set_alpha_to_one=False),
    }
    condition = _condition(backbone, "a cat")
    for name, scheduler in stock.items():
        *_, named = sample(ours, condition, condition, replace(SETTINGS, scheduler=name))
        *_, expected = sample(replace(backbone, scheduler=scheduler), condition, condition, SETTINGS)
        assert torch.equal(named.latents, expected.latents)


def test_the_sampler_of_the_settings_is_the_one_that_runs(backbone: Backbone) -> None:
    condition = _condition(backbone, "a cat")
    ends = {}
    for name in (None, "ddim", "unipc"):
        *_, last = sample(backbone, condition, condition, replace(SETTINGS, scheduler=name))
        ends[name] = last.latents
    assert not torch.equal(ends["ddim"], ends["unipc"])
