"""Every damaged or missing file of a model is named, with what to do; libraries would fill it with random numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.errors import ModelError
from mmdiff_core.weights.integrity import check_weight_files, load_network, pipeline_problems, weight_problems


def _cut(path: Path, by: int = 100) -> None:
    path.write_bytes(path.read_bytes()[:-by])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "vae" / "diffusion_pytorch_model.safetensors").unlink(), 'weights in the folder ".*vae" are'),
        (lambda f: (f / "text_encoder" / "config.json").unlink(), 'text_encoder/config.json" is missing'),
        (lambda f: (f / "tokenizer" / "tokenizer.json").unlink(), 'tokenizer/tokenizer.json" is missing'),
        (lambda f: (f / "scheduler" / "scheduler_config.json").unlink(), 'scheduler_config.json" is missing'),
        (lambda f: shutil.rmtree(f / "unet"), 'unet/config.json" is missing'),
        (lambda f: _cut(f / "unet" / "diffusion_pytorch_model.safetensors"), 'unet/diffusion.*" was cut off'),
        (lambda f: _cut(f / "unet" / "diffusion_pytorch_model.safetensors", 10**9), 'unet/diffusion.*" was cut off'),
        (lambda f: (f / "vae" / "config.json").write_text('{"a": '), 'vae/config.json" is damaged'),
        (lambda f: (f / "tokenizer" / "tokenizer.json").write_text("[]"), 'tokenizer.json" is damaged'),
        (
            lambda f: (f / "unet" / "x.safetensors.index.json").write_text("{"),
            'unet/x.safetensors.index.json" is damaged',
        ),
        (lambda f: (f / "model_index.json").write_text("{"), 'model_index.json" is damaged'),
        (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    ],
)
def test_a_broken_folder_names_the_file_and_the_cure(copied: Path, spoil, message: str) -> None:
    spoil(copied)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(copied)
    assert "again" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_shard_too_few(copied: Path) -> None:
    part = copied / "unet"
    (part / "diffusion_pytorch_model.safetensors").rename(part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    names = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "diffusion_pytorch_model-2.safetensors"}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    assert list(pipeline_problems(copied)) == [f'the file "{part / names["b"]}" is missing']


def test_a_half_downloaded_bin_file(copied: Path) -> None:
    """As older models have them; an empty one, and one whose end is missing."""
    part = copied / "unet"
    whole = part / "diffusion_pytorch_model.bin"
    torch.save({"weight": torch.ones(9)}, whole)
    (part / "diffusion_pytorch_model.safetensors").unlink()
    assert list(pipeline_problems(copied)) == []
    _cut(whole)
    assert list(pipeline_problems(copied)) == [f'the file "{whole}" was cut off']
    whole.write_bytes(b"")
    assert list(pipeline_problems(copied)) == [f'the file "{whole}" was cut off']


def test_weights_of_another_model(copied: Path, sd: Path) -> None:
    shutil.copy(sd / "vae" / "config.json", copied / "unet" / "config.json")
    with pytest.raises(ModelError, match="cannot be opened: a file in"):
        load_backbone(copied)


def test_the_unused_safety_checker_may_be_absent(copied: Path) -> None:
    index = json.loads((copied / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (copied / "model_index.json").write_text(json.dumps(index))
    assert load_backbone(copied)[0].unet is not None


def test_the_cure_of_a_hub_model_is_its_download(copied: Path) -> None:
    (copied / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r'"maker/unet" is incomplete.*models --download maker/unet" again'):
        check_weight_files(copied / "unet", "maker/unet")
    check_weight_files(copied / "vae", "maker/vae")


def test_a_tensor_that_a_file_lacks_is_named(copied: Path) -> None:
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_out.weight"]
    save_file(tensors, weights, {"format": "pt"})
    assert list(weight_problems(copied / "unet")) == []
    with pytest.raises(ModelError, match=r"unet\" lack 1 of its tensors, such as conv_out.weight"):
        load_network(UNet2DConditionModel, copied / "unet", "a model")


def test_files_with_the_names_of_older_versions_are_whole(copied: Path) -> None:
    """The first autoencoders of Stable Diffusion have other names for attention; text encoders lost a prefix."""
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(weights)
    for new, name in old.items():
        tensors = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): x for key, x in tensors.items()}
    assert any(".query." in key for key in tensors)
    save_file(tensors, weights, {"format": "pt"})
    assert isinstance(load_network(AutoencoderKL, copied / "vae", "a model"), AutoencoderKL)
    weights = copied / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{key.removeprefix('text_model.')}": x for key, x in load_file(weights).items()}
    save_file(tensors, weights, {"format": "pt"})
    assert isinstance(load_network(CLIPTextModel, copied / "text_encoder", "a model"), CLIPTextModel)
