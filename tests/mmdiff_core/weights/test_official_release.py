"""The official checkpoint's keys: all of them are mapped, in the tiny recording and at the size of SDXL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from mmdiff_core.backbones.loading import layers_of_base
from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.errors import CheckpointError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter, TextTower
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.weights.adapter_file import AdapterFile, load_adapter, save_adapter
from mmdiff_core.weights.official_release import convert_official, official_names, official_order, read_official
from tests.parity.recordings import FOLDER, configs, tensors, write_release

Layers = tuple[AttentionLayer, ...]


@pytest.fixture(scope="module")
def layers() -> tuple[Layers, Layers]:
    unet = UNet2DConditionModel.from_config(configs()["unet"])
    return cross_attention_layers(unet), self_attention_layers(unet)


@pytest.fixture(scope="module")
def converted(layers: tuple[Layers, Layers]) -> AdapterFile:
    return convert_official(tensors("ckpt_A"), *layers)


def test_every_tensor_has_its_place(converted: AdapterFile) -> None:
    recorded, state = tensors("ckpt_A"), converted.adapter.state_dict()
    names = official_names(converted.adapter)
    assert all(torch.equal(state[ours], recorded[official]) for ours, official in names.items())
    encoder = {f"custom/image_encoder/{name}" for name in converted.image_encoder}
    assert set(names.values()) | encoder == set(recorded)
    assert len(names) + len(encoder) == len(recorded)


def test_the_configuration_is_read_off(converted: AdapterFile) -> None:
    config = converted.adapter.config
    assert (config.cls_width, config.patch_width, config.width, config.tokens) == (56, 40, 256, 4)
    assert (config.rank, config.self_attention_rank, config.refiner_depth) == (64, 64, 4)
    assert (config.source, config.null_token, config.patches_with_cls) == ("face", False, True)
    assert config.text_towers == (TextTower(96, 3, 8), TextTower(160, 3, 8, lora_active=False))


def test_the_second_text_lora_is_kept_and_applied_only_when_asked(
    converted: AdapterFile, layers: tuple[Layers, Layers], tmp_path: Path
) -> None:
    save_adapter(converted.adapter, tmp_path / "official.safetensors")
    adapter = load_adapter(tmp_path / "official.safetensors")
    assert len(adapter.text_encoder_deltas(0)) == 12
    assert adapter.text_encoder_deltas(1) == {}
    asked = convert_official(tensors("ckpt_A"), *layers, apply_second_text_lora=True).adapter
    down, up = (
        tensors("ckpt_A")[f"text_encoder_adapter/text_encoder_2.text_model.encoder.layers.2.{name}.weight"]
        for name in ("self_attn.out_proj.lora_linear_layer.down", "self_attn.out_proj.lora_linear_layer.up")
    )
    delta = asked.text_encoder_deltas(1)["encoder.layers.2.self_attn.out_proj"]
    assert torch.allclose(delta, up @ down, atol=1e-6)
    assert adapter.state_dict().keys() == asked.state_dict().keys()


def test_the_older_layout_of_the_text_lora(converted: AdapterFile, layers: tuple[Layers, Layers]) -> None:
    older = {
        re.sub(r"(q|k|v|out)_proj\.lora_linear_layer\.", r"to_\1_lora.", name): x
        for name, x in tensors("ckpt_A").items()
    }
    assert older.keys() != tensors("ckpt_A").keys()
    again = convert_official(older, *layers).adapter.state_dict()
    assert all(torch.equal(x, again[name]) for name, x in converted.adapter.state_dict().items())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.pop("unet_adapter/3.to_k_lora_image.up.weight"), "1 missing .*attn2.key_image"),
        (lambda t: t.update({"unet_adapter/99.to_q_lora.up.weight": torch.zeros(1)}), "unknown .unet_adapter/99"),
        (lambda t: t.update({"unet_adapter/3.to_q_lora.up.weight": torch.zeros(1, 64)}), "1 of another shape"),
        (lambda t: t.pop("custom/obj_embeds_proj/fc.weight"), "obj_embeds_proj/fc.weight"),
        (
            lambda t: [t.pop(k) for k in list(t) if k.startswith("custom/image_encoder/")],
            "There is no image_encoder in .*: download its three files again",
        ),
        (
            lambda t: t.pop("custom/image_encoder/visual_projection.weight"),
            "no tensor 'visual_projection.weight' in the image encoder",
        ),
        (lambda t: t.pop("custom/image_encoder/vision_model.post_layernorm.bias"), "1 missing .*post_layernorm"),
        (lambda t: t.update({"custom/image_encoder/x": torch.zeros(1)}), "image encoder .* 1 unknown .x."),
    ],
)
def test_what_does_not_fit_is_named(
    layers: tuple[Layers, Layers], spoil: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    spoilt = dict(tensors("ckpt_A"))
    spoil(spoilt)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_official(spoilt, *layers, source='the official checkpoint "release"')
    assert 'the official checkpoint "release"' in str(caught.value)
    assert "again" in str(caught.value)


def test_the_three_files_are_read(tmp_path: Path) -> None:
    write_release(tmp_path)
    read = read_official(tmp_path)
    assert read.keys() == tensors("ckpt_A").keys()
    assert all(torch.equal(x, tensors("ckpt_A")[name]) for name, x in read.items())


class Strange:
    """Something that only a full unpickler would make."""


def test_nothing_but_tensors_is_unpickled(tmp_path: Path) -> None:
    write_release(tmp_path)
    torch.save({"0.to_q_lora.down.weight": Strange()}, tmp_path / "unet_adapter_weights.bin")
    with pytest.raises(CheckpointError, match="unet_adapter_weights"):
        read_official(tmp_path)
    torch.save({"0.to_q_lora.down.weight": "text"}, tmp_path / "unet_adapter_weights.bin")
    with pytest.raises(CheckpointError, match="not a tensor"):
        read_official(tmp_path)
    (tmp_path / "unet_adapter_weights.bin").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        read_official(tmp_path)
    write_release(tmp_path)
    whole = (tmp_path / "custom_weights.bin").read_bytes()
    (tmp_path / "custom_weights.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"custom_weights.bin. is not a plain table .* download it again"):
        read_official(tmp_path)
    torch.save({"image_encoder": torch.zeros(1)}, tmp_path / "custom_weights.bin")
    with pytest.raises(CheckpointError, match="group image_encoder is not a table"):
        read_official(tmp_path)


def test_position_ids_of_older_files_are_known(layers: tuple[Layers, Layers]) -> None:
    """Older versions of transformers save them; they only count from 0."""
    older = {**tensors("ckpt_A"), "custom/image_encoder/vision_model.embeddings.position_ids": torch.arange(17)[None]}
    assert (
        convert_official(older, *layers).image_encoder.keys()
        == convert_official(tensors("ckpt_A"), *layers).image_encoder.keys()
    )


@pytest.mark.slow
def test_the_keys_at_the_size_of_sdxl() -> None:
    """Every key and shape of the real checkpoint's adapter, as the official classes define them."""
    expected = json.loads((FOLDER / "official_keys_sdxl_base.json").read_text())
    base = layers_of_base()
    cross, self_ = base.cross_attention, base.self_attention
    with torch.device("meta"):
        adapter = MMDiffAdapter(
            AdapterConfig(
                cross_attention=cross,
                self_attention=self_,
                text_towers=(TextTower(768), TextTower(1280)),
                cls_width=768,
                patch_width=1024,
                rank=64,
                self_attention_rank=64,
                null_token=False,
                source="face",
            )
        )
    assert [layer.path for layer in official_order((*cross, *self_))] == expected["attention_layers"]
    state = adapter.state_dict()
    shapes = {official: list(state[ours].shape) for ours, official in official_names(adapter).items()}
    assert shapes == expected["shapes"]
