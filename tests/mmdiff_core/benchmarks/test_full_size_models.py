"""Full-size models with random weights: their published sizes, and numbers that pass through them."""

from __future__ import annotations

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import nn

from mmdiff_core.benchmarks.full_size_models import (
    MODEL_SHAPES,
    build_adapter,
    build_pipeline,
    fill_with_random,
)
from tests.helpers.tiny_shapes import TINY_SHAPES

FLOAT = torch.float32


@pytest.mark.parametrize("model", MODEL_SHAPES)
def test_networks_have_their_published_sizes(model: str) -> None:
    """Parameters in millions: 860 and 2567 are the UNets of SD 1.5 and of SDXL."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**MODEL_SHAPES[model].unet)
    millions = sum(x.numel() for x in unet.parameters()) / 1e6
    assert round(millions) == {"sd15": 860, "sdxl": 2567}[model]


@pytest.mark.parametrize(("model", "kind"), [("sd15", StableDiffusionPipeline), ("sdxl", StableDiffusionXLPipeline)])
def test_a_stock_pipeline_generates(model: str, kind: type) -> None:
    pipe = build_pipeline(TINY_SHAPES[model], FLOAT)
    assert type(pipe) is kind
    pipe.set_progress_bar_config(disable=True)
    (image,) = pipe("a cat", num_inference_steps=1, height=16, width=16).images
    assert image.getextrema() != ((0, 0),) * 3


@pytest.mark.parametrize("model", TINY_SHAPES)
def test_an_adapter_fits_the_pipeline(model: str) -> None:
    shape = TINY_SHAPES[model]
    pipe = build_pipeline(shape, FLOAT)
    adapter = build_adapter(pipe, shape, torch.bfloat16, rank=3, refiner_depth=0)
    assert adapter.config.rank == 3
    assert len(adapter.config.text_towers) == len(shape.text)
    weights = adapter.float().weights(pipe.unet)
    assert weights.keys() == {layer.path for layer in adapter.config.cross_attention}
    assert all(parameter.isfinite().all() for parameter in adapter.parameters())


def test_random_weights_keep_the_scale_of_activations() -> None:
    network = nn.Sequential(*(nn.Linear(512, 512) for _ in range(4)), nn.LayerNorm(512)).to("meta")
    fill_with_random(network, FLOAT)
    *layers, norm = network
    hidden = torch.randn(64, 512, generator=torch.Generator().manual_seed(1))
    for layer in layers:
        hidden = layer(hidden)
        assert hidden.std() == pytest.approx(1, abs=0.15)
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_rows_of_a_large_weight_differ() -> None:
    network = nn.Linear(256, 600).to("meta")  # more numbers than are random
    fill_with_random(network, FLOAT)
    assert len(torch.unique(network.weight, dim=0)) == 600
