"""Public IP-Adapter files: every tensor has its place, and what is no IP-Adapter is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from mmdiff_core.backbones.loading import SD15_UNET, layers_of, layers_of_base
from mmdiff_core.backbones.processors import attention_paths
from mmdiff_core.errors import CheckpointError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.config import ResamplerShape
from mmdiff_core.weights.adapter_file import AdapterFile, load_adapter, save_adapter
from mmdiff_core.weights.any_adapter import BaseLayers
from mmdiff_core.weights.ip_adapter import (
    context_width,
    convert_ip_adapter,
    ip_adapter_names,
    is_ip_adapter,
    read_ip_adapter,
)
from tests.helpers import tiny
from tests.helpers.ip_adapters import Kind, Tables, ip_adapter, save_ip_adapter

KINDS: list[Kind] = ["plain", "plus", "faceid", "faceid-plus"]


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    return tiny.stable_diffusion()


@pytest.fixture(scope="module")
def base(pipe: StableDiffusionPipeline) -> BaseLayers:
    return layers_of(pipe)


def _convert(tables: Tables, base: BaseLayers, source: str = "the IP-Adapter") -> AdapterFile:
    tensors = {f"{table}/{name}": x for table, values in tables.items() for name, x in values.items()}
    return convert_ip_adapter(tensors, base.cross_attention, base.self_attention, base.text_widths, source)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_both_forms_of_a_file_are_read_alike(tmp_path: Path, pipe: StableDiffusionPipeline, suffix: str) -> None:
    tables = ip_adapter("plus", pipe)
    path = save_ip_adapter(tables, tmp_path / f"ip-adapter-plus_sd15{suffix}")
    assert is_ip_adapter(path)
    tensors = read_ip_adapter(path)
    assert len(tensors) == sum(map(len, tables.values()))
    assert torch.equal(tensors["image_proj/latents"], tables["image_proj"]["latents"])
    assert torch.equal(tensors["ip_adapter/1.to_k_ip.weight"], tables["ip_adapter"]["1.to_k_ip.weight"])


def test_our_own_file_is_none(tmp_path: Path, pipe: StableDiffusionPipeline) -> None:
    save_adapter(tiny.adapter_for(pipe), tmp_path / "adapter.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    assert not is_ip_adapter(tmp_path / "adapter.safetensors")
    assert not is_ip_adapter(tmp_path / "broken.safetensors")
    assert not is_ip_adapter(tmp_path)


class _Payload:
    """Something that only a full unpickler would make."""


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(pickle.dumps(_Payload())), "not a plain table of tensors"),
        (lambda path: path.write_bytes(b"PK\x03\x04cut"), "not a plain table of tensors"),
        (lambda path: torch.save([torch.zeros(1)], path), "should contain a table of tensors, not list"),
        (lambda path: torch.save({"unet": {"a": torch.zeros(1)}}, path), "contains unet: give another file"),
        (lambda path: torch.save({"image_proj": {"proj.weight": torch.zeros(1)}}, path), "is no IP-Adapter, which has"),
        (lambda path: torch.save({"image_proj": {"a": 3}, "ip_adapter": {"b": 3}}, path), "not a tensor: image_proj/a"),
        (lambda path: None, "is not there or is damaged"),
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, write: Callable, message: str) -> None:
    path = tmp_path / "adapter.bin"
    write(path)
    with pytest.raises(CheckpointError, match=message):
        read_ip_adapter(path)


# ---------------------------------------------------------------- every tensor has its place


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_has_its_place(pipe: StableDiffusionPipeline, base: BaseLayers, kind: Kind) -> None:
    tables = ip_adapter(kind, pipe)
    adapter = _convert(tables, base).adapter
    names = ip_adapter_names(adapter)
    assert sorted(names.values()) == sorted(f"{table}/{name}" for table in tables for name in tables[table])
    for ours, theirs in names.items():
        table, name = theirs.split("/")
        assert torch.equal(adapter.state_dict()[ours], tables[table][name]), ours


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_adapter_is_one_file(
    tmp_path: Path, pipe: StableDiffusionPipeline, base: BaseLayers, kind: Kind
) -> None:
    adapter = _convert(ip_adapter(kind, pipe), base).adapter
    save_adapter(adapter, tmp_path / "adapter.safetensors")
    again = load_adapter(tmp_path / "adapter.safetensors")
    assert again.config == adapter.config
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in adapter.state_dict().items())


def test_the_layers_count_as_in_the_unet(pipe: StableDiffusionPipeline, base: BaseLayers) -> None:
    """Down, up and middle, self-attention before cross-attention, which is diffusers' order too."""
    names = ip_adapter_names(_convert(ip_adapter("faceid", pipe), base).adapter)
    for index, path in enumerate(attention_paths(pipe.unet)):
        assert names[f"unet.{path}.query.peft.lora_A.default.weight"] == f"ip_adapter/{index}.to_q_lora.down.weight"
    plain = ip_adapter_names(_convert(ip_adapter("plain", pipe), base).adapter)
    assert {name: place for name, place in names.items() if "to_k_ip" in place} == {
        name: place for name, place in plain.items() if "to_k_ip" in place
    }


def test_the_kinds_are_told_apart(pipe: StableDiffusionPipeline, base: BaseLayers) -> None:
    plain, plus, faceid, faceid_plus = (_convert(ip_adapter(kind, pipe), base).adapter.config for kind in KINDS)
    for config in (plain, plus, faceid, faceid_plus):
        assert (config.unconditional, config.photo_fit, config.own_image_weights) == ("blank", "crop", True)
        assert not config.word_fusion
        assert not config.null_token
    assert (plain.tokens, plain.cls_width, plain.patch_width, plain.rank) == (4, tiny.PROJECTION, 0, 0)
    assert plus.resampler == ResamplerShape(width=48, heads=2, head_dim=64, depth=4, hidden=192)
    assert (plus.tokens, plus.cls_width, plus.patch_width) == (5, 0, tiny.PATCH_WIDTH)
    assert (faceid.source, faceid.rank, faceid.self_attention_rank, faceid.reads_images) == ("face", 3, 3, False)
    assert (faceid_plus.source, faceid_plus.refiner_depth, faceid_plus.reads_patches) == ("face", 4, True)


def test_the_name_tells_the_two_versions_of_faceid_plus(pipe: StableDiffusionPipeline, base: BaseLayers) -> None:
    tables = ip_adapter("faceid-plus", pipe)
    assert not _convert(tables, base, '"ip-adapter-faceid-plus_sd15.bin"').adapter.config.refiner_residual
    assert _convert(tables, base, '"ip-adapter-faceid-plusv2_sd15.bin"').adapter.config.refiner_residual


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["ip_adapter"].pop("3.to_v_ip.weight"), "1 missing .*value_image"),
        (lambda t: t["ip_adapter"].update({"99.to_k_ip.weight": torch.zeros(1)}), "1 unknown .*99.to_k_ip"),
        (lambda t: t["ip_adapter"].update({"1.to_k_ip.weight": torch.zeros(3, 32)}), "1 of another shape"),
        (lambda t: t["image_proj"]["proj_in.weight"].fill_(torch.nan), "1 not finite"),
        (lambda t: t["image_proj"].pop("proj_in.weight"), "no tensor 'image_proj/proj_in.weight'"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    pipe: StableDiffusionPipeline, base: BaseLayers, change: Callable, message: str
) -> None:
    tables = ip_adapter("plus", pipe)
    change(tables)
    with pytest.raises(CheckpointError, match=message):
        _convert(tables, base)


def test_another_base_is_named(pipe: StableDiffusionPipeline) -> None:
    other = layers_of(tiny.stable_diffusion_xl())
    with pytest.raises(CheckpointError, match=r"made for another base: its layers read 32 channels, .* 80 channels"):
        _convert(ip_adapter("plain", pipe), other)


def test_kinds_that_are_not_known_say_what_to_take(pipe: StableDiffusionPipeline, base: BaseLayers) -> None:
    tables = ip_adapter("plain", pipe)
    full = {f"proj.{n}.weight": torch.zeros(32, 32) for n in (0, 2)} | {"proj.3.weight": torch.zeros(32)}
    with pytest.raises(CheckpointError, match=r"Full-Face.*take ip-adapter-plus-face"):
        _convert({**tables, "image_proj": full}, base)
    with pytest.raises(CheckpointError, match="not known: take a plain, Plus or FaceID one"):
        _convert({**tables, "image_proj": {"net.weight": torch.zeros(32)}}, base)


# ---------------------------------------------------------------- the released sizes


def test_the_layers_of_stable_diffusion_15_are_known_without_it() -> None:
    base = layers_of_base(None, 768)
    assert (len(base.cross_attention), len(base.self_attention), base.text_widths) == (16, 16, (768,))
    assert {layer.heads for layer in base.cross_attention} == {8}


def test_the_released_files_fit_their_bases() -> None:
    """The released shapes of Plus for Stable Diffusion 1.5, without memory: all 16 layers from 1 to 31."""
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(SD15_UNET)
        widths = [
            unet.get_submodule(path).to_k.weight.shape for path in attention_paths(unet) if path.endswith("attn2")
        ]
    tensors = {
        f"ip_adapter/{2 * n + 1}.to_{x}_ip.weight": torch.empty(shape, device="meta")
        for n, shape in enumerate(widths)
        for x in "kv"
    }
    assert context_width(tensors) == 768
    base = layers_of_base(None, 768)
    tables = {"image_proj/proj.weight": torch.empty(4 * 768, 1024, device="meta")}
    config = _meta_config(tables | tensors, base)
    names = ip_adapter_names(config)
    assert {name for name in names.values() if "_ip" in name} == set(tensors)


def _meta_config(tensors: dict[str, torch.Tensor], base: BaseLayers) -> MMDiffAdapter:
    from mmdiff_core.weights.ip_adapter import _config

    with torch.device("meta"):
        return MMDiffAdapter(_config(tensors, base.cross_attention, base.self_attention, base.text_widths, "file"))
