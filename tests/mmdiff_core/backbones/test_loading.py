"""Models are opened from folders, adapters are checked against them, and messages say what to do."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdiff_core.backbones.loading import native_sizes
from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stable_diffusion
from mmdiff_core.backbones.stable_diffusion_xl import StableDiffusionXL
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny


def test_the_folder_decides_the_class(sd: Path, sdxl: Path) -> None:
    assert type(load_backbone(sd)[0]) is StableDiffusion
    assert type(load_backbone(str(sdxl))[0]) is StableDiffusionXL


def test_adapter_of_another_model(sd: Path, sdxl: Path) -> None:
    with pytest.raises(CheckpointError, match="made for another model: its cross-attention layers differ"):
        load_stable_diffusion(sd, sdxl / "adapter.safetensors")


def test_a_missing_model_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=r'"nowhere/no-model" is not here.*models --download nowhere/no-model"[.]$'):
        load_backbone("nowhere/no-model")
    with pytest.raises(ModelError, match='"no such folder" is not here: there is no such folder'):
        load_backbone("no such folder")
    with pytest.raises(ModelError, match=r"stable-diffusion-xl-base-1.0\" \(about 7 GB in half precision\)"):
        load_backbone("stabilityai/stable-diffusion-xl-base-1.0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set here"):
        load_backbone("nowhere/no-model")


def test_a_folder_of_another_kind(sd: Path, sdxl: Path, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ModelError, match="is a FluxPipeline; only StableDiffusionPipeline and"):
        load_backbone(tmp_path)
    with pytest.raises(ModelError, match="StableDiffusionXLPipeline, but a StableDiffusionPipeline is needed"):
        load_stable_diffusion(sdxl)


def test_half_precision_runs(sdxl: Path) -> None:
    personalizer = Personalizer.load(sdxl, sdxl / "adapter.safetensors", dtype=torch.bfloat16)
    assert {p.dtype for p in personalizer.backbone.unet.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in personalizer.adapter.parameters()} == {torch.bfloat16}
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), steps=2)
    *_, last = personalizer.generate(request)
    assert np.asarray(last.finished.image).std() > 0
    assert last.maps.at("cat", "image").max() > 0


@pytest.mark.parametrize(
    ("trained", "kind", "sizes"),
    [
        (64, "sd", (512, 256, 1024)),
        (128, "sdxl", (1024, 256, 2048)),
        (None, "sdxl", (1024, 256, 2048)),
        ([48, 64], "sd", (512, 256, 1024)),
        (32, "sd", (256, 128, 512)),
        (16, "sdxl", (128, 64, 512)),
    ],
)
def test_sizes_follow_from_what_the_unet_was_trained_on(trained, kind: str, sizes: tuple[int, int, int]) -> None:
    parts = {"text_encoder_2": None} if kind == "sdxl" else {}
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=trained))
    vae = SimpleNamespace(config=SimpleNamespace(block_out_channels=(1, 2, 3, 4)))
    found = native_sizes(SimpleNamespace(unet=unet, vae=vae, **parts))
    assert (found.default, found.smallest, found.largest, found.multiple) == ((sizes[0],) * 2, sizes[1], sizes[2], 8)
    assert found.made_for[0] == found.default
    assert all(side % 8 == 0 for size in found.made_for for side in size)
    assert ((1216, 832) in found.made_for) is (sizes[0] == 1024)
    assert (len(found.made_for) == 1) is (kind == "sd")
