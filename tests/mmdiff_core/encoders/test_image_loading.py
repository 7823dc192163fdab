"""The image encoder of an adapter: where it is found, whether it fits, and what is said where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdiff_core.backbones.stable_diffusion import load_stable_diffusion
from mmdiff_core.backbones.stable_diffusion_xl import load_stable_diffusion_xl
from mmdiff_core.errors import ModelError
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny


def test_image_encoder_of_its_own_folder(sd: Path, sdxl: Path, tmp_path: Path) -> None:
    tiny.image_encoder().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.1] * 3, "image_std": [0.5] * 3}))
    backbone, _ = load_stable_diffusion_xl(sdxl, sdxl / "adapter.safetensors", tmp_path)
    assert backbone.image_encoder.mean.flatten().tolist() == pytest.approx([0.1] * 3)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": ')
    with pytest.raises(ModelError, match=r'preprocessor_config.json" is damaged: get the image encoder again'):
        load_stable_diffusion_xl(sdxl, sdxl / "adapter.safetensors", tmp_path)
    with pytest.raises(ModelError, match=r"image encoder .*nothing\" is not here.*models --download openai/clip-vit"):
        load_stable_diffusion(sd, None, tmp_path / "nothing")


def test_image_encoder_must_be_the_adapters(sd: Path, tmp_path: Path) -> None:
    save_adapter(tiny.adapter_for(tiny.stable_diffusion(), cls_width=99), tmp_path / "other.safetensors", {})
    with pytest.raises(ModelError, match="needs an image encoder with a projection of 99"):
        load_stable_diffusion(sd, tmp_path / "other.safetensors")


def test_adapter_decides_whether_the_patches_have_a_cls(sd: Path, tmp_path: Path) -> None:
    save_adapter(tiny.adapter_for(tiny.stable_diffusion(), patches_with_cls=True), tmp_path / "cls.safetensors", {})
    assert load_stable_diffusion(sd, tmp_path / "cls.safetensors")[0].image_encoder.keep_cls
    assert not load_stable_diffusion(sd, sd / "adapter.safetensors")[0].image_encoder.keep_cls
