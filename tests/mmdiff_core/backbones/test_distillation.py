"""Models for few steps are told by what their files say, and get their own steps and guidance."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
)

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.distillation import embed_guidance, is_distilled, usual_numbers
from mmdiff_core.pipeline import Personalizer
from tests.helpers import tiny

USUAL = Defaults(30, 5.0)
PLAIN = EulerDiscreteScheduler()


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("stabilityai/sdxl-turbo", 4),
        ("models/dreamshaperXL_v21TurboDPMSDE.safetensors", 4),
        ("sdxl_lightning_8step.safetensors", 8),
        ("/home/me/juggernautXL_v9Rdphoto2Lightning", 4),
        ("SimianLuo/LCM_Dreamshaper_v7", 4),
        ("dmd2_sdxl_4step_unet_fp16", 4),
        ("ByteDance/Hyper-SD15-1step", 1),
        ("sdxl-lightning-32steps", 8),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", None),
        ("/turbo/lightning/realistic-vision", None),
        ("hyperrealism_v3.safetensors", None),
        ("calm-dmdx", None),
    ],
)
def test_names_tell(name: str, steps: int | None) -> None:
    expected = USUAL if steps is None else Defaults(steps, 1.0, few=True)
    assert usual_numbers(tiny.stable_diffusion(PLAIN), name, USUAL) == expected


@pytest.mark.parametrize(
    ("scheduler", "distilled"),
    [
        (LCMScheduler(), True),
        (EulerAncestralDiscreteScheduler(timestep_spacing="trailing"), True),
        (EulerDiscreteScheduler(timestep_spacing="trailing", rescale_betas_zero_snr=True), False),
        (DDIMScheduler(timestep_spacing="trailing", prediction_type="v_prediction"), False),
        (EulerDiscreteScheduler(timestep_spacing="leading"), False),
    ],
)
def test_schedulers_tell(scheduler: SchedulerMixin, distilled: bool) -> None:
    assert is_distilled("model", scheduler) is distilled


def test_a_unet_that_reads_the_guidance_wants_some() -> None:
    pipe = tiny.stable_diffusion(PLAIN, time_cond_proj_dim=8)
    assert usual_numbers(pipe, "model", USUAL) == Defaults(4, 8.0, few=True)


def test_the_guidance_is_embedded_as_in_the_stock_pipeline() -> None:
    theirs = StableDiffusionPipeline.get_guidance_scale_embedding(None, torch.tensor([6.5]), 256)
    assert torch.allclose(embed_guidance(7.5, 256), theirs, atol=1e-3)  # sines of large numbers


def test_lcms_own_pipeline_opens_as_stable_diffusion(tmp_path: Path) -> None:
    folder = tmp_path / "LCM_Dreamshaper_v7"
    tiny.stable_diffusion(LCMScheduler(), time_cond_proj_dim=8).save_pretrained(folder)
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("StableDiffusionPipeline", "LatentConsistencyModelPipeline"))
    assert Personalizer.load(folder).defaults == Defaults(4, 8.0, few=True)
