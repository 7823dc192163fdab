"""Where models are, and what a broken one is told: on folders and caches that the tests make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.pipeline_loading_utils import variant_compatible_siblings

from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.errors import ModelError
from mmdiff_core.weights import hub
from tests.helpers import tiny


def test_a_folder_in_half_precision_alone(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion().to(torch.float16)
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert hub.variant_of(tmp_path / "unet") == "fp16"
    backbone, _ = load_backbone(tmp_path)
    assert {x.dtype for x in backbone.unet.parameters()} == {torch.float32}
    expected = pipe.unet.state_dict()
    assert all(torch.equal(x, expected[name].float()) for name, x in backbone.unet.state_dict().items())


def test_a_plain_folder_has_no_variant(sd: Path, copied: Path) -> None:
    assert hub.variant_of(sd / "unet") is None
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert hub.variant_of(copied / "unet") is None


def test_a_model_in_the_cache(hub_cache: Path) -> None:
    assert load_backbone("maker/model")[0].name == "maker/model"
    (hub_cache / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match=r'vae/config.json" is missing.*models --download maker/model" again'):
        load_backbone("maker/model")


def test_an_empty_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    assert list(hub.cached_models()) == []


# ---------------------------------------------------------------- downloads


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if downloads were allowed, whatever the environment of the tests says."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_only_what_is_needed_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def fetch(name: str, **options: object) -> str:
        asked.append((name, options))
        return str(tmp_path)

    monkeypatch.setattr(hub, "ask_hub", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fetch)
    monkeypatch.setattr(hub, "snapshot_download", fetch)
    assert hub.download_model("maker/model") == tmp_path
    assert hub.download_model(hub.CLIP) == tmp_path
    assert asked[0] == ("maker/model", {"variant": "fp16", "safety_checker": None})
    assert asked[1][0] == hub.CLIP
    assert "model.safetensors" in asked[1][1]["allow_patterns"]  # and not the other formats of the same weights


@pytest.mark.usefixtures("online")
def test_a_model_that_is_not_offered_in_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, variant: str | None = None, **_: object) -> str:
        if variant is not None:
            variant_compatible_siblings({"model_index.json", "unet/diffusion_pytorch_model.safetensors"}, variant)
        return str(tmp_path)

    monkeypatch.setattr(hub, "ask_hub", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fetch)
    with pytest.raises(ValueError, match="fp16"):  # diffusers' own words
        fetch("maker/model", "fp16")
    assert hub.download_model("maker/model") == tmp_path


@pytest.mark.usefixtures("online")
def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **_: object) -> str:
        raise OSError(f"{name} is not a valid model identifier\nand much more")

    monkeypatch.setattr(hub, "ask_hub", lambda _: None)
    monkeypatch.setattr(hub.DiffusionPipeline, "download", fail)
    with pytest.raises(ModelError, match=r'"no/where" cannot be downloaded: check the name.*identifier\)$') as caught:
        hub.download_model("no/where")
    assert "\n" not in str(caught.value)
