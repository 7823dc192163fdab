"""Which files are models, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmdiff_core.backbones.registry import load_backbone
from mmdiff_core.backbones.single_file.checkpoint import find_file, read_checkpoint
from mmdiff_core.errors import ModelError
from tests.helpers import single_files


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return single_files.write_file(single_files.sd1(), tmp_path_factory.mktemp("sd1") / "model.safetensors")


def _saved(path: Path, *names: str) -> Path:
    save_file({name: torch.zeros(1) for name in names}, path)
    return path


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["lora_unet_down.lora_up.weight"], "it is a LoRA, which is added to a model"),
        (["ip_adapter.1.to_k_ip.weight"], "it is an IP-Adapter: give it with --adapter"),
        (["model.diffusion_model.joint_blocks.0.x"], "it is a Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "it is a Flux"),
        (["conditioner.embedders.0.model.ln_final.bias"], "the refiner of SDXL"),
        (["control_model.input_blocks.0"], "it is a ControlNet"),
        (["down_blocks.0.resnets.0.norm1.weight"], "a single network in diffusers' names"),
        (["something"], "no text encoder under a name that is known"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, names: list[str], told: str) -> None:
    with pytest.raises(ModelError, match=f"no whole Stable Diffusion 1.x, 2.x or XL: .*{told}"):
        load_backbone(_saved(tmp_path / "x.safetensors", *names))


def test_parts_that_are_not_in_the_file_are_named(file: Path, tmp_path: Path) -> None:
    tensors = load_file(file)
    for part, prefix in (("UNet", "model."), ("autoencoder", "first_stage_model.")):
        kept = {name: x for name, x in tensors.items() if not name.startswith(prefix)}
        save_file(kept, tmp_path / "part.safetensors")
        with pytest.raises(ModelError, match=f"has no {part}: get the model with all its parts"):
            read_checkpoint(tmp_path / "part.safetensors")


def test_a_unet_for_inpainting_points_to_attach(tmp_path: Path) -> None:
    path = single_files.write_file(single_files.sd1(in_channels=9), tmp_path / "inpainting.safetensors")
    with pytest.raises(ModelError, match=r"reads 9 channels, not 4: it is for inpainting .*Personalizer.attach"):
        load_backbone(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "model.ckpt")
    with pytest.raises(ModelError, match="is a pickle, which may hold a program and is never opened here"):
        load_backbone(tmp_path / "model.ckpt")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x10\0\0\0\0\0\0\0{"])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match="is damaged or was cut off"):
        load_backbone(tmp_path / "model.safetensors")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'"nowhere.safetensors" is not here: there is no such file'):
        load_backbone("nowhere.safetensors")
    assert find_file(tmp_path) is None
    assert find_file("stable-diffusion-v1-5/stable-diffusion-v1-5") is None


def test_a_file_of_the_hub_s_cache(file: Path, hub_cache: Path) -> None:
    (hub_cache / "one.safetensors").symlink_to(file)
    found = find_file("maker/model/one.safetensors")
    assert found is not None
    assert found.samefile(file)
