"""The configurations of the originals follow from the shapes in their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from mmdiff_core.backbones.single_file.checkpoint import Checkpoint, Family
from mmdiff_core.backbones.single_file.derived_configs import latent_side, unet_config
from mmdiff_core.benchmarks.full_size_models import MODEL_SHAPES
from mmdiff_core.errors import ModelError
from tests.helpers import single_files

SD21 = {
    **MODEL_SHAPES["sd15"].unet,
    "sample_size": 96,
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
# As they are published: segmind/SSD-1B and nota-ai/bk-sdm-tiny.
SSD = {
    **MODEL_SHAPES["sdxl"].unet,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": (1, (2, 2), (4, 4)),
    "reverse_transformer_layers_per_block": ((4, 4, 10), (2, 1, 1), 1),
}
BK_SDM_TINY = {
    **MODEL_SHAPES["sd15"].unet,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 1,
    "mid_block_type": None,
}
ORIGINALS: dict[str, tuple[Family, dict[str, Any]]] = {
    "sd15": ("sd1", dict(MODEL_SHAPES["sd15"].unet)),
    "sd21": ("sd2", SD21),
    "sdxl": ("sdxl", dict(MODEL_SHAPES["sdxl"].unet)),
    "ssd": ("sdxl", SSD),
    "bk-sdm": ("sd1", BK_SDM_TINY),
}


def _as_lists(value: Any) -> Any:
    return [_as_lists(x) for x in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_full_size_unet(name: str) -> None:
    family, known = ORIGINALS[name]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**known)
    shapes = single_files.unet_shapes(unet) | {"conditioner.embedders.1.model.text_projection": (1280, 1280)}
    derived = unet_config(Checkpoint(Path("model.safetensors"), family, shapes, {}))
    with torch.device("meta"):
        again = UNet2DConditionModel.from_config(derived)
    assert {key: x.shape for key, x in again.state_dict().items()} == {
        key: x.shape for key, x in unet.state_dict().items()
    }
    heads = {path: layer.heads for path, layer in unet.named_modules() if hasattr(layer, "to_q")}
    assert {path: layer.heads for path, layer in again.named_modules() if hasattr(layer, "to_q")} == heads
    same = ("sample_size", "block_out_channels", "cross_attention_dim", "use_linear_projection", "mid_block_type")
    assert {key: _as_lists(again.config[key]) for key in same} == {key: _as_lists(unet.config[key]) for key in same}


@pytest.mark.parametrize(
    ("family", "metadata", "side"),
    [("sd1", {}, 64), ("sd2", {}, 96), ("sd2", {"modelspec.prediction_type": "epsilon"}, 64), ("sdxl", {}, 128),
     ("sdxl", {"modelspec.resolution": "512x512"}, 64), ("sd1", {"modelspec.resolution": "huge"}, 64)],
)  # fmt: skip
def test_the_side_that_it_was_trained_on(family: Family, metadata: dict[str, str], side: int) -> None:
    assert latent_side(Checkpoint(Path("model.safetensors"), family, {}, metadata)) == side


def test_an_unknown_shape_is_told_in_a_sentence() -> None:
    names = ("input_blocks.1.0.in_layers.2.weight", "input_blocks.2.0.op.weight")
    shapes = {f"model.diffusion_model.{name}": (32, 32, 3, 3) for name in names}
    with pytest.raises(ModelError, match="is of a shape that is not known"):
        unet_config(Checkpoint(Path("model.safetensors"), "sd1", shapes, {}))
