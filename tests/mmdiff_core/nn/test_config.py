"""The configuration of an adapter: its file form, and the numbers that it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmdiff_core.errors import CheckpointError, SettingsError
from mmdiff_core.nn.config import FACE_WIDTH, AdapterConfig, AttentionLayer, ResamplerShape, TextTower
from mmdiff_core.types import Components


@pytest.fixture
def config() -> AdapterConfig:
    return AdapterConfig(
        cross_attention=(AttentionLayer("down.attn2", width=16, context=24, inner=16, heads=2),),
        self_attention=(AttentionLayer("down.attn1", width=16, context=16, inner=16, heads=2),),
        text_towers=(TextTower(16, layers=2, rank=2), TextTower(12, layers=1, rank=2, lora_active=False)),
        cls_width=20,
        patch_width=28,
        self_attention_rank=2,
        alpha=8.0,
    )


def test_the_source_decides_what_the_tokens_are_projected_from(config: AdapterConfig) -> None:
    assert (config.width, config.source_width) == (24, 20)
    assert replace(config, source="face").source_width == FACE_WIDTH


def test_json_is_one_line(config: AdapterConfig) -> None:
    assert "\n" not in config.to_json()
    assert json.loads(config.to_json())["text_towers"][1]["lora_active"] is False


def test_a_resampler_survives_json(config: AdapterConfig) -> None:
    shape = ResamplerShape(width=8, heads=1, head_dim=8, depth=1, hidden=16)
    changed = replace(config, refiner_depth=0, resampler=shape, rank=0, own_image_weights=True, unconditional="blank")
    assert AdapterConfig.from_json(changed.to_json()) == changed


def test_a_config_tells_what_it_reads(config: AdapterConfig) -> None:
    assert config.reads_patches
    assert config.reads_images
    words = replace(config, refiner_depth=0)
    assert not words.reads_patches
    assert words.reads_images
    face = replace(config, source="face", word_fusion=False, refiner_depth=0)
    assert not face.reads_images
    assert replace(face, refiner_depth=1).reads_images


def test_the_context_of_all_layers_must_be_the_same(config: AdapterConfig) -> None:
    layer = config.cross_attention[0]
    with pytest.raises(SettingsError, match="same context width"):
        replace(config, cross_attention=(layer, replace(layer, context=25)))


def test_heads_must_share_the_inner_width_evenly(config: AdapterConfig) -> None:
    uneven = replace(config.self_attention[0], heads=3)
    with pytest.raises(SettingsError, match="multiple of its heads"):
        replace(config, self_attention=(uneven,))


def test_numbers_that_do_not_fit_make_a_file_unreadable(config: AdapterConfig) -> None:
    values = json.loads(config.to_json()) | {"rank": 0}
    with pytest.raises(CheckpointError, match="cannot be read: LoRA ranks"):
        AdapterConfig.from_json(json.dumps(values))


def test_config_tells_the_parts(config: AdapterConfig) -> None:
    assert config.components == Components()
    assert replace(config, refiner_depth=0).components == Components(refiner=False)
    assert replace(config, image_branch=False).components == Components(True, False, False, False)


def test_config_survives_json(config: AdapterConfig) -> None:
    assert AdapterConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": 0}, "rank"),
        ({"self_attention_rank": -1}, "rank"),
        ({"text_towers": (TextTower(16, layers=2, rank=-1),)}, "rank"),
        ({"tokens": 0}, "tokens"),
        ({"refiner_head_dim": 0}, "refiner_head_dim"),
        ({"source": "voice"}, "voice"),
        ({"unconditional": "photo"}, "unconditional must be one of none, blank"),
        ({"photo_fit": "stretch"}, "photo_fit must be one of pad, crop"),
        ({"resampler": ResamplerShape(8, 1, 8, 1, 16)}, "takes the place of the SE-Refiner"),
        ({"cross_attention": ()}, "cross-attention"),
        ({"refiner_depth": -1}, "refiner_depth"),
    ],
)
def test_a_config_that_cannot_be_is_refused(config: AdapterConfig, change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        replace(config, **change)


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"colour": 3}'])
def test_a_config_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="configuration"):
        AdapterConfig.from_json(text)


def test_fusing_behind_the_text_encoder_needs_one_of_the_layers_width(config: AdapterConfig) -> None:
    one = (TextTower(config.width),)
    assert replace(config, text_towers=one, fuse_after=True).fuse_after
    for towers in (one * 2, (TextTower(config.width + 1),)):
        with pytest.raises(SettingsError, match="single text encoder"):
            replace(config, text_towers=towers, fuse_after=True)


def test_a_config_from_before_a_field_was_added_is_read(config: AdapterConfig) -> None:
    values = json.loads(config.to_json())
    del values["fuse_after"]
    assert AdapterConfig.from_json(json.dumps(values)) == config


@pytest.mark.parametrize(
    ("path", "size", "message"),
    [
        (("cross_attention", 0, "width"), -16, "width must be a whole number of at least 1, but is -16"),
        (("cross_attention", 0, "heads"), 0, "heads must be a whole number of at least 1, but is 0"),
        (("self_attention", 0, "inner"), 0, "inner must be"),
        (("text_towers", 0, "width"), 0, "width must be"),
        (("text_towers", 0, "layers"), -1, "layers must be a whole number of at least 0"),
        (("cls_width",), 0, "cls_width must be a whole number of at least 1"),
        (("patch_width",), -3, "patch_width must be"),
        (("tokens",), 4.0, "tokens must be a whole number of at least 1, but is 4.0"),
        (("refiner_hidden",), 0, "refiner_hidden must be"),
    ],
)
def test_a_file_with_impossible_sizes_is_refused(
    config: AdapterConfig, path: tuple[str | int, ...], size: float, message: str
) -> None:
    values = json.loads(config.to_json())
    *parents, name = path
    inside = values
    for parent in parents:
        inside = inside[parent]
    inside[name] = size
    with pytest.raises(CheckpointError, match=f"cannot be read: {message}"):
        AdapterConfig.from_json(json.dumps(values))
