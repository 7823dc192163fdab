"""Bases of every shape that people have: the image is the stock pipeline's, and subjects have their maps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    DDIMScheduler,
    DiffusionPipeline,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    StableDiffusionInpaintPipeline,
)
from PIL import Image
from transformers import CLIPTextModel

from mmdiff_core.errors import ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny

pytestmark = pytest.mark.slow

SUBJECTS = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), seeds=(3,), steps=3, word_gating=0.5)


def _sd2() -> DiffusionPipeline:
    """Stable Diffusion 2.1: OpenCLIP's text tower, linear projections, heads of one width, v-prediction."""
    schedule = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "clip_sample": False}
    pipe = tiny.stable_diffusion(
        DDIMScheduler(**schedule, set_alpha_to_one=False, steps_offset=1),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
    )
    config = type(pipe.text_encoder.config)(**{**pipe.text_encoder.config.to_dict(), "hidden_act": "gelu"})
    pipe.text_encoder, pipe.tokenizer = CLIPTextModel(config), tiny.tokenizer(pad="!")
    return pipe


def _zero_terminal_snr() -> DiffusionPipeline:
    """A schedule that ends in pure noise, which only v-prediction can start from."""
    more = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False}
    return tiny.stable_diffusion(
        DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction", **more), seed=1
    )


def _ssd() -> DiffusionPipeline:
    """SSD-1B and Vega: layers of unlike depth, and no attention in the middle."""
    return tiny.stable_diffusion_xl(
        mid_block_type="UNetMidBlock2D",
        layers_per_block=2,
        transformer_layers_per_block=(1, [2, 1]),
        reverse_transformer_layers_per_block=([1, 2, 1], [2, 1, 1]),
    )


def _bk_sdm() -> DiffusionPipeline:
    """BK-SDM and tiny-sd: no middle at all."""
    return tiny.stable_diffusion(mid_block_type=None)


def _lcm() -> DiffusionPipeline:
    """A UNet that reads the guidance."""
    return tiny.stable_diffusion(LCMScheduler(beta_schedule="scaled_linear"), time_cond_proj_dim=8)


def _lcm_xl() -> DiffusionPipeline:
    return tiny.stable_diffusion_xl(LCMScheduler(beta_schedule="scaled_linear"), time_cond_proj_dim=8)


def _turbo() -> DiffusionPipeline:
    scheduler = EulerAncestralDiscreteScheduler(beta_schedule="scaled_linear", timestep_spacing="trailing")
    return tiny.stable_diffusion_xl(scheduler)


def _playground() -> DiffusionPipeline:
    """Playground v2.5: EDM, and latents that are normalised."""
    statistics = {"latents_mean": [-1.6, 1.1, 0.4, -0.2], "latents_std": [8.4, 5.2, 6.1, 4.3]}
    return tiny.stable_diffusion_xl(EDMDPMSolverMultistepScheduler(), vae=tiny.autoencoder(0.5, **statistics))


def _edm_euler() -> DiffusionPipeline:
    return tiny.stable_diffusion_xl(EDMEulerScheduler())


def _taesd() -> DiffusionPipeline:
    return tiny.stable_diffusion(vae=tiny.tiny_autoencoder())


SHAPES = [_sd2, _zero_terminal_snr, _ssd, _bk_sdm, _lcm, _lcm_xl, _turbo, _playground, _edm_euler, _taesd]


@pytest.fixture(scope="module", params=SHAPES, ids=lambda make: make.__name__.strip("_"))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    pipe = request.param()
    pipe.save_pretrained(folder)
    save_adapter(tiny.adapter_for(pipe), folder / "adapter.safetensors")
    return folder


@pytest.mark.parametrize("guidance", [4.0, 1.0])
def test_without_subjects_it_is_the_stock_pipeline(folder: Path, guidance: float) -> None:
    personalizer = Personalizer.load(folder)
    request = GenerateRequest("a cat", negative_prompt="snow", seeds=(3,), steps=3, guidance=guidance)
    *_, last = personalizer.generate(request)
    theirs = tiny.open_stock(str(folder))(
        "a cat", negative_prompt="snow", num_inference_steps=3, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(3),
    ).images[0]  # fmt: skip
    assert np.abs(np.asarray(last.finished.image).astype(int) - np.asarray(theirs)).max() <= 1
    assert last.finished.image.getextrema() != ((0, 0),) * 3


def test_subjects_have_their_maps_and_previews(folder: Path) -> None:
    personalizer = Personalizer.load(folder, folder / "adapter.safetensors")
    *_, last = personalizer.generate(SUBJECTS)
    assert last.maps.at("cat", "image").max() > 0
    plain = GenerateRequest(SUBJECTS.prompt, seeds=(3,), steps=3)
    *_, without = personalizer.generate(plain)
    assert last.finished.image.tobytes() != without.finished.image.tobytes()
    assert len(set(last.preview.tobytes())) > 1


def test_every_scheduler_that_is_offered_runs(folder: Path) -> None:
    personalizer = Personalizer.load(folder)
    for name in personalizer.backbone.schedulers:
        *_, last = personalizer.generate(GenerateRequest("a cat", steps=3, scheduler=name))
        assert last.finished is not None, name


def test_attach_gives_the_same_image(folder: Path) -> None:
    own = Personalizer.load(folder, folder / "adapter.safetensors")
    pipe = tiny.open_stock(str(folder))
    with own.attach(pipe) as attached:
        theirs = pipe(**attached.condition(SUBJECTS).pipeline_kwargs()).images[0]
    *_, last = own.generate(SUBJECTS)
    assert np.abs(np.asarray(last.finished.image).astype(int) - np.asarray(theirs)).max() <= 1


def test_a_unet_for_inpainting_points_to_attach(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion(in_channels=9)
    save_adapter(tiny.adapter_for(pipe), tmp_path / "adapter.safetensors")
    personalizer = Personalizer.of_pipeline(pipe, tmp_path / "adapter.safetensors")
    with pytest.raises(ModelError, match=r"reads 9 channels and makes 4: it is for inpainting .*Personalizer.attach"):
        personalizer.generate(SUBJECTS)
    with pytest.raises(ModelError, match="for inpainting"):
        next(personalizer.run(personalizer.plan(SUBJECTS)))
    inpainting = StableDiffusionInpaintPipeline(**pipe.components, requires_safety_checker=False)
    picture, mask = tiny.photo(5, (32, 32)), Image.new("L", (32, 32), 255)
    with personalizer.attach(inpainting) as attached:
        condition = attached.condition(SUBJECTS)
        image = inpainting(**condition.pipeline_kwargs(), image=picture, mask_image=mask).images[0]
    assert image.size == (32, 32)
    assert condition.maps.at("cat", "image").max() > 0


def test_images_start_from_another(folder: Path) -> None:
    """As the stock pipeline for it, which attach runs."""
    request = replace(SUBJECTS, image=tiny.photo(5, (32, 32)), image_strength=0.7)
    own = Personalizer.load(folder, folder / "adapter.safetensors")
    *_, last = own.generate(request)
    pipe = AutoPipelineForImage2Image.from_pipe(tiny.open_stock(str(folder)))
    with own.attach(pipe) as attached:
        condition = attached.condition(replace(request, image=None))
        theirs = pipe(**condition.pipeline_kwargs(strength=0.7), image=request.image).images[0]
    assert np.abs(np.asarray(last.finished.image).astype(int) - np.asarray(theirs)).max() <= 1
