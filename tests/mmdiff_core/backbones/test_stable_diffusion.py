"""The networks of Stable Diffusion as the sampling loop uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.backbones.processors import ConditionedAttention, uninstall
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stable_diffusion, wrap_stock
from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.generation.conditioning import build_condition
from tests.helpers import tiny


@pytest.fixture(scope="module")
def backbone(sd: Path) -> StableDiffusion:
    return load_stable_diffusion(sd)[0]


def test_weights_are_stock_and_processors_ours(sd: Path) -> None:
    backbone, adapter = load_stable_diffusion(sd, sd / "adapter.safetensors")
    stock = tiny.open_stock(str(sd))
    assert adapter is not None
    assert all(isinstance(processor, ConditionedAttention) for processor in backbone.unet.attn_processors.values())
    loaded = backbone.unet.state_dict()
    assert loaded.keys() == stock.unet.state_dict().keys()
    assert all(torch.equal(loaded[key], x) for key, x in stock.unet.state_dict().items())


def test_noise_is_the_seeds_at_every_precision(backbone: StableDiffusion) -> None:
    noise = backbone.noise(7, 48, 32)
    assert noise.shape == (1, backbone.unet.config.in_channels, 16, 24)
    assert torch.equal(noise, backbone.noise(7, 48, 32))
    assert not torch.equal(noise, backbone.noise(8, 48, 32))
    assert torch.equal(noise, torch.randn(noise.shape, generator=torch.Generator().manual_seed(7)))


def test_every_image_has_a_scheduler_of_its_own(backbone: StableDiffusion) -> None:
    one, other = backbone.fresh_scheduler(), backbone.fresh_scheduler()
    one.set_timesteps(3)
    assert one is not other
    assert other.num_inference_steps is None
    assert other.config == backbone.scheduler.config


def test_decoding_undoes_encoding_s_scale(backbone: StableDiffusion) -> None:
    latents = torch.zeros(2, 4, 16, 16)
    images = backbone.decode(latents)
    assert [image.size for image in images] == [(32, 32)] * 2
    expected = backbone.vae.decode(latents[:1]).sample[0] / 2 + 0.5
    assert np.allclose(np.asarray(images[0]) / 255, expected.detach().clamp(0, 1).permute(1, 2, 0), atol=1 / 255)


@torch.no_grad()
def test_processors_that_were_taken_out_are_put_back(sd: Path) -> None:
    backbone, _ = load_stable_diffusion(sd)
    condition = build_condition(backbone, None, {}, [tokenize(backbone.tokenizers[0], "a cat")], size=(32, 32))
    latents, timestep = backbone.noise(0, 32, 32), torch.tensor(500)
    before = backbone.predict_noise(latents, timestep, condition)
    uninstall(backbone.unet)
    assert torch.equal(backbone.predict_noise(latents, timestep, condition), before)
    assert all(isinstance(processor, ConditionedAttention) for processor in backbone.unet.attn_processors.values())


def test_around_another_pipeline_of_its_kind(backbone: StableDiffusion) -> None:
    pipe = tiny.stable_diffusion(seed=5)
    around = backbone.around(pipe)
    assert (around.unet, around.vae, around.scheduler) == (pipe.unet, pipe.vae, pipe.scheduler)
    assert (around.name, around.image_encoder) == (backbone.name, backbone.image_encoder)


def test_a_pipeline_that_is_open_already_shares_its_networks(sd: Path) -> None:
    pipe = tiny.stable_diffusion()
    backbone, adapter = wrap_stock(StableDiffusion, pipe, sd / "adapter.safetensors")
    assert backbone.unet is pipe.unet
    assert adapter.config.cls_width == tiny.PROJECTION


def test_half_precision_is_that_of_the_networks(sd: Path) -> None:
    backbone, adapter = load_stable_diffusion(sd, sd / "adapter.safetensors", dtype=torch.bfloat16)
    assert {x.dtype for x in (*backbone.unet.parameters(), *adapter.parameters())} == {torch.bfloat16}
    assert backbone.noise(0, 32, 32).dtype == torch.bfloat16
    assert replace(backbone, name="x").display_name == "x"
