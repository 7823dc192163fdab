"""Models are opened from folders, adapters are checked against them, and messages say what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmdiff_core.backbones.loading import native_sizes
from mmdiff_core.backbones.preview import LatentPreview, fit_preview
from mmdiff_core.backbones.processors import ConditionedAttention
from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stable_diffusion
from mmdiff_core.backbones.stable_diffusion_xl import StableDiffusionXL, load_stable_diffusion_xl
from mmdiff_core.backbones.toybox import load_toybox
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sd", tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model("sdxl", tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def toybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


def test_the_folder_decides_the_class(sd: Path, sdxl: Path) -> None:
    assert type(load_backbone(sd)[0]) is StableDiffusion
    assert type(load_backbone(str(sdxl))[0]) is StableDiffusionXL


def test_weights_are_stock_and_processors_ours(sd: Path) -> None:
    backbone, adapter = load_stable_diffusion(sd, sd / "adapter.safetensors")
    stock = tiny.open_stock(str(sd))
    assert adapter is not None
    assert all(isinstance(processor, ConditionedAttention) for processor in backbone.unet.attn_processors.values())
    loaded = backbone.unet.state_dict()
    assert loaded.keys() == stock.unet.state_dict().keys()
    assert all(torch.equal(loaded[key], x) for key, x in stock.unet.state_dict().items())


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


# ---------------------------------------------------------------- Toybox


def test_toybox_makes_pictures(toybox: Path) -> None:
    backbone, adapter = load_toybox(toybox)
    assert backbone.name == "toybox"
    assert backbone.sizes.largest == 2 * backbone.sizes.default[0]
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), steps=3)
    *_, last = Personalizer(backbone, adapter).generate(request)
    assert np.asarray(last.finished.image).std() > 0
    assert last.maps.steps == (0, 1, 2)


def test_toybox_preview_is_its_files(toybox: Path) -> None:
    backbone, _ = load_toybox(toybox)
    latents = torch.zeros(1, 4, 2, 3)
    latents[0, 0] = 1.0
    assert backbone.preview(latents).size == (3, 2)
    assert backbone.preview(latents).getpixel((0, 0)) == (178, 128, 128)


@pytest.mark.parametrize("part", ["adapter.safetensors", "preview.json", "model_index.json"])
def test_an_incomplete_toybox_names_what_is_missing(part: str, tmp_path: Path) -> None:
    for name in {"adapter.safetensors", "preview.json", "model_index.json"} - {part}:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=f"{part} not found"):
        load_toybox(tmp_path)


# ---------------------------------------------------------------- previews


def test_fitted_preview_recovers_a_linear_autoencoder() -> None:
    """An autoencoder that mixes averaged colours into its latents: the fit undoes it."""
    mixing = torch.tensor([[0.9, -0.3, 0.1, 0.2], [0.1, 0.8, 0.3, -0.5], [0.2, 0.1, -0.7, 0.4]])

    class Latents:
        def __init__(self, values: torch.Tensor) -> None:
            self.latent_dist = self
            self.values = values

        def mode(self) -> torch.Tensor:
            return self.values

    class Mixer(torch.nn.Module):
        config = tiny.stable_diffusion().vae.config
        dtype = torch.float32

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(mixing)

        def encode(self, pixels: torch.Tensor) -> Latents:
            return Latents(torch.einsum("bchw,cd->bdhw", F.avg_pool2d(pixels, 2), self.weight))

    preview = fit_preview(Mixer())
    colour = torch.tensor([0.8, 0.3, 0.5])
    latents = (2 * colour - 1) @ mixing * Mixer.config.scaling_factor
    assert preview(latents.view(1, 4, 1, 1)).getpixel((0, 0)) == pytest.approx((204, 76.5, 127.5), abs=1)


def test_preview_is_clipped_and_oriented() -> None:
    preview = LatentPreview(torch.eye(3), torch.zeros(3))
    latents = torch.zeros(1, 3, 2, 4)
    latents[0, 0, 0, 3] = 9.0
    shown = preview(latents)
    assert isinstance(shown, Image.Image)
    assert shown.size == (4, 2)
    assert shown.getpixel((3, 0)) == (255, 0, 0)
    assert shown.getpixel((0, 1)) == (0, 0, 0)


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


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("toybox", "toybox"),
        ("maker/model", "maker/model"),
        ("/srv/private/sd", "sd"),
        ("private/models/sd", "sd"),
        ("private/sd", "sd"),  # a folder that is there, from here on
        (".", "here"),
    ],
)
def test_a_folder_is_shown_by_its_last_part(
    toybox: Path, name: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "private" / "sd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    backbone, _ = load_toybox(toybox)
    assert replace(backbone, name=name).display_name == shown
