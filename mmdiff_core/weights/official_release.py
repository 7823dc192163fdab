"""The released official checkpoint as a configuration of our adapter.

The official portrait model differs from the paper: the subject tokens come from face embeddings, the self-attention
and the text encoders have a LoRA too, there is no null token, the patch tokens include the CLS token, and the word
fusion has its own copy of the CLIP image encoder. Its files are named tables:

    unet_adapter_weights.bin           <i>.to_{q,k,v,out}_lora[_image].{down,up}.weight, i counts attention layers
    text_encoder_adapter_weights.bin   text_encoder[_2].text_model.encoder.layers.<n>.self_attn.<..>.{down,up}.weight
    custom_weights.bin                 obj_embeds_proj, mm_fuse_one, mm_fuse_two, face_embeds_proj, image_encoder
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from mmdiff_core.errors import CheckpointError, SettingsError
from mmdiff_core.nn.adapter import AdapterConfig, AttentionLayer, MMDiffAdapter, TextTower
from mmdiff_core.nn.lora import Lora, PathDict
from mmdiff_core.weights.adapter_file import AdapterFile, check_tensors, load_tensors
from mmdiff_core.weights.pickled_table import read_pickled_table

_CURE = "download its three files again."
_HEAD_DIM = 256  # of the official SE-Refiner, whatever its width
_IMAGE_ENCODER = "custom/image_encoder/"
_BLOCKS = ("down_blocks", "up_blocks", "mid_block")  # the official numbering has the middle last
_FUSIONS = ("mm_fuse_one", "mm_fuse_two")
_TEXT_ENCODERS = ("text_encoder", "text_encoder_2")

# our module name -> official module name
SUBJECT_PROJECTOR = {"norm": "layernorm", "hidden": "fc", "outputs.0": "proj_1", "outputs.1": "proj_2"}
WORD_FUSION = {"norm": "layernorm", "hidden": "fc1", "output": "fc2"}
TOKEN_PROJECTOR = {"hidden": "proj.0", "output": "proj.2", "norm": "layer_norm"}
REFINER = {"patches": "proj_in", "output": "proj_out", "norm": "norm_out"}
REFINER_LAYER = {
    "attention.patch_norm": "0.norm1",
    "attention.token_norm": "0.norm2",
    "attention.query": "0.to_q",
    "attention.key_value": "0.to_kv",
    "attention.output": "0.to_out",
    "norm": "1.0",
    "hidden": "1.1",
    "output": "1.3",
}
ATTENTION = {"query": "to_q_lora", "key": "to_k_lora", "value": "to_v_lora", "output": "to_out_lora"}
IMAGE_BRANCH = {"key_image": "to_k_lora_image", "value_image": "to_v_lora_image"}
FACTORS = {"peft.lora_A.default": "down", "peft.lora_B.default": "up"}


OFFICIAL_FILES = ("unet_adapter_weights.bin", "text_encoder_adapter_weights.bin", "custom_weights.bin")


def is_official(folder: str | PathLike[str]) -> bool:
    """Whether the folder looks like the official checkpoint, complete or not."""
    return any((Path(folder) / name).exists() for name in OFFICIAL_FILES)


def read_official(folder: str | PathLike[str]) -> dict[str, Tensor]:
    """Return the three official files as one flat table, each key after the names of its file and group.

    The files are pickles; torch's restricted unpickler reads them, and only tensors are accepted.

    Raises:
        CheckpointError: a file is missing or contains anything but tensors.
    """
    folder = Path(folder)
    unet, text, custom = (_load(folder / name) for name in OFFICIAL_FILES)
    tensors = _prefixed("unet_adapter/", unet) | _prefixed("text_encoder_adapter/", text)
    for group, values in custom.items():
        if not isinstance(values, dict):
            raise CheckpointError(
                f'In the official file "{folder / OFFICIAL_FILES[2]}" the group {group} is not a table.'
            )
        tensors |= _prefixed(f"custom/{group}/", values)
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f"{folder} contains something that is not a tensor: {', '.join(others[:5])}")
    return tensors


def convert_official(
    tensors: Mapping[str, Tensor],
    cross_attention: Sequence[AttentionLayer],
    self_attention: Sequence[AttentionLayer],
    apply_second_text_lora: bool = False,
    source: str = "the official checkpoint",
) -> AdapterFile:
    """Map every official tensor to its place in an adapter.

    Args:
        tensors: of :func:`read_official`.
        cross_attention, self_attention: the layers of the UNet that the checkpoint was made for.
        apply_second_text_lora: the LoRA of the second text encoder is always kept, but the official code fails to
            apply it, so published images are made without it; True applies it.
        source: what messages call the checkpoint.

    Raises:
        CheckpointError: a tensor is missing, unknown, or has a shape that does not fit the UNet's layers.
    """
    tensors = {_current_layout(name): x.float() for name, x in tensors.items()}
    image_encoder = {k.removeprefix(_IMAGE_ENCODER): x for k, x in tensors.items() if k.startswith(_IMAGE_ENCODER)}
    rest = {k: x for k, x in tensors.items() if not k.startswith(_IMAGE_ENCODER)}
    if not image_encoder:
        raise CheckpointError(f"There is no image_encoder in custom_weights.bin of {source}: {_CURE}")
    try:
        config = _config(rest, cross_attention, self_attention, apply_second_text_lora)
    except KeyError as error:
        raise CheckpointError(f"There is no tensor {error} in {source}: {_CURE}") from error
    except SettingsError as error:
        raise CheckpointError(
            f"The base model is not the one that {source} was made for, so give that with --base: {error}"
        ) from error
    adapter = MMDiffAdapter(config)
    ours = {official: name for name, official in official_names(adapter).items()}
    load_tensors(adapter, {ours.get(name, name): x for name, x in rest.items()}, source)
    return AdapterFile(adapter, checked_image_encoder(image_encoder, source))


def checked_image_encoder(tensors: Mapping[str, Tensor], source: str = "the official checkpoint") -> dict[str, Tensor]:
    """Return the official image encoder after a check of every key and shape, which the official code leaves out.

    ``source`` is what messages call the checkpoint.

    Raises:
        CheckpointError: it is not a complete CLIP vision model with projection.
    """
    tensors = {name: x for name, x in tensors.items() if not name.endswith(".position_ids")}  # 0, 1, 2, ...
    try:
        config = _vision_config(tensors)
    except KeyError as error:
        raise CheckpointError(
            f"There is no tensor {error} in the image encoder (custom_weights.bin) of {source}: {_CURE}"
        ) from error
    with torch.device("meta"):
        expected = CLIPVisionModelWithProjection(config).state_dict()
    check_tensors(expected, tensors, f"the image encoder (custom_weights.bin) of {source}")
    return tensors


def _vision_config(tensors: Mapping[str, Tensor]) -> CLIPVisionConfig:
    """Read the shape of a CLIP vision model off its tensors, which do not tell the number of heads."""
    patch = tensors["vision_model.embeddings.patch_embedding.weight"]  # (Dh, 3, side, side)
    places = len(tensors["vision_model.embeddings.position_embedding.weight"]) - 1
    return CLIPVisionConfig(
        hidden_size=len(patch),
        intermediate_size=len(tensors["vision_model.encoder.layers.0.mlp.fc1.weight"]),
        projection_dim=len(tensors["visual_projection.weight"]),
        num_hidden_layers=count_layers(tensors, r"vision_model\.encoder\.layers\.(\d+)\."),
        num_attention_heads=1,
        image_size=math.isqrt(places) * patch.shape[-1],
        patch_size=patch.shape[-1],
    )


def official_order(layers: Iterable[AttentionLayer]) -> list[AttentionLayer]:
    """Return attention layers as the official keys count them: down blocks, up blocks, then the middle."""

    def place(layer: AttentionLayer) -> tuple[int, list[int]]:
        return _BLOCKS.index(layer.path.split(".")[0]), [int(digits) for digits in re.findall(r"\d+", layer.path)]

    return sorted(layers, key=place)


def official_names(adapter: MMDiffAdapter) -> dict[str, str]:
    """Map every state-dict key of the adapter to the official key, after the names of its file and group."""
    modules = _custom_modules(adapter.config) | _unet_modules(adapter.config) | _text_modules(adapter)
    names = {}
    for key in adapter.state_dict():
        module, _, parameter = key.rpartition(".")
        names[key] = f"{modules[module]}.{parameter}"
    return names


def _config(
    tensors: Mapping[str, Tensor],
    cross_attention: Sequence[AttentionLayer],
    self_attention: Sequence[AttentionLayer],
    apply_second_text_lora: bool,
) -> AdapterConfig:
    """Read the sizes off the tensors."""
    rank = tensors["unet_adapter/0.to_q_lora.down.weight"].shape[0]
    tokens = tensors["custom/face_embeds_proj/proj.2.weight"].shape[0] // cross_attention[0].context
    return AdapterConfig(
        cross_attention=tuple(cross_attention),
        self_attention=tuple(self_attention),
        text_towers=tuple(_tower(tensors, index, apply_second_text_lora) for index in range(len(_FUSIONS))),
        cls_width=tensors["custom/obj_embeds_proj/fc.weight"].shape[1],
        patch_width=tensors["custom/face_embeds_proj/refiner.proj_in.weight"].shape[1],
        rank=rank,
        self_attention_rank=rank,
        tokens=tokens,
        refiner_depth=count_layers(tensors, r"custom/face_embeds_proj/refiner\.layers\.(\d+)\."),
        refiner_head_dim=_HEAD_DIM,
        null_token=False,
        source="face",
        patches_with_cls=True,
    )


def _tower(tensors: Mapping[str, Tensor], index: int, apply_second_text_lora: bool) -> TextTower:
    """Return the shape of text encoder ``index``; rank 0 if the checkpoint has no LoRA for it."""
    width = tensors[f"custom/{_FUSIONS[index]}/fc2.weight"].shape[0]
    layers = f"text_encoder_adapter/{_TEXT_ENCODERS[index]}.text_model.encoder.layers."
    first = tensors.get(f"{layers}0.self_attn.q_proj.lora_linear_layer.down.weight")
    if first is None:
        return TextTower(width)
    count = count_layers(tensors, re.escape(layers) + r"(\d+)\.")
    return TextTower(width, count, first.shape[0], lora_active=index == 0 or apply_second_text_lora)


def _custom_modules(config: AdapterConfig) -> dict[str, str]:
    """Map our modules to the official ones, for everything but the LoRAs."""
    face = "custom/face_embeds_proj/"
    modules = joined_names("subject_projector.", "custom/obj_embeds_proj/", SUBJECT_PROJECTOR)
    for index, group in enumerate(_FUSIONS):
        modules |= joined_names(f"word_fusions.{index}.", f"custom/{group}/", WORD_FUSION)
    modules |= joined_names("token_projector.", face, TOKEN_PROJECTOR)
    modules |= joined_names("refiner.", f"{face}refiner.", REFINER)
    for index in range(config.refiner_depth):
        modules |= joined_names(f"refiner.layers.{index}.", f"{face}refiner.layers.{index}.", REFINER_LAYER)
    return modules


def _unet_modules(config: AdapterConfig) -> dict[str, str]:
    """Map our modules to the official ones, for the LoRAs of the UNet."""
    modules: dict[str, str] = {}
    for index, layer in enumerate(official_order((*config.cross_attention, *config.self_attention))):
        loras = ATTENTION | IMAGE_BRANCH if layer in config.cross_attention else ATTENTION
        for ours, official in loras.items():
            modules |= joined_names(f"unet.{layer.path}.{ours}.", f"unet_adapter/{index}.{official}.", FACTORS)
    return modules


def _text_modules(adapter: MMDiffAdapter) -> dict[str, str]:
    """Map our modules to the official ones, for the LoRAs of the text encoders."""
    modules: dict[str, str] = {}
    for index, (encoder, name) in enumerate(zip(adapter.text_encoders, _TEXT_ENCODERS, strict=True)):
        for path in cast("PathDict[Lora]", encoder).paths:
            official = f"text_encoder_adapter/{name}.text_model.{path}.lora_linear_layer."
            modules |= joined_names(f"text_encoders.{index}.{path}.", official, FACTORS)
    return modules


def _current_layout(name: str) -> str:
    """Rename text-encoder keys of the older layout: ``to_q_lora.up`` to ``q_proj.lora_linear_layer.up``."""
    return re.sub(r"self_attn\.to_(q|k|v|out)_lora\.", r"self_attn.\1_proj.lora_linear_layer.", name)


def joined_names(ours: str, official: str, table: Mapping[str, str]) -> dict[str, str]:
    """Return a table from our names to official ones with a prefix on each side."""
    return {ours + left: official + right for left, right in table.items()}


def _prefixed(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in values.items()}


def count_layers(names: Iterable[str], pattern: str) -> int:
    """Return the number of layers in the names, by their highest index in the first group of ``pattern``."""
    return 1 + max((int(found[1]) for name in names if (found := re.match(pattern, name))), default=-1)


def _load(path: Path) -> dict:
    """Return the table in one official file."""
    try:
        return read_pickled_table(path, "The official file")
    except FileNotFoundError as error:
        raise CheckpointError(
            f'The official file "{path}" is missing: the folder must contain {", ".join(OFFICIAL_FILES)}.'
        ) from error
