"""The configurations of a file's networks, derived from the shapes of their tensors.

What shapes cannot tell is as the original models have it: the heads, the activations and the scale of the latents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mmdiff_core.backbones.single_file.checkpoint import TEXT, UNET, VAE, Checkpoint, Family, Shape
from mmdiff_core.errors import ModelError

Config = dict[str, Any]

HEAD_WIDTH = 64  # of the text encoders, and of the UNets of SD 2.x and SDXL
SD1_HEADS = 8
SCALING = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}
PLAYGROUND_SCALING = 0.5
SIDES = {"sd1": 64, "sd2": 64, "sdxl": 128}  # of the latents that each was trained on
SD2_V_SIDE = 96  # of SD 2.x that predicts velocities
TIME_IDS = 6  # numbers that SDXL's UNet reads beside the text


@dataclass(frozen=True)
class _Level:
    """The blocks of a UNet at one resolution."""

    channels: int
    depths: tuple[int, ...]  # transformer layers behind each ResNet; 0: no attention


def unet_config(checkpoint: Checkpoint) -> Config:
    """Return the configuration of the UNet.

    Raises:
        ModelError: it is of a shape that diffusers has no name for.
    """
    shapes = checkpoint.inside(UNET)
    levels = _levels(shapes)
    per_level = {len(level.depths) for level in levels}
    if len(per_level) != 1:
        raise ModelError(f'The UNet of "{checkpoint.path}" is of a shape that is not known: get the model as a folder.')
    layers = per_level.pop()
    down = [_depth(level.depths) for level in levels]
    up = [_depth(depths) for depths in _up_depths(shapes, len(levels), layers)]
    middle = _depth_at(shapes, "middle_block.1.")
    if middle and not any(levels[-1].depths):
        down[-1] = middle
    attention = [any(level.depths) for level in levels]
    channels = [level.channels for level in levels]
    config: Config = {
        "sample_size": latent_side(checkpoint),
        "block_out_channels": channels,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)],
        "mid_block_type": _middle_type(shapes, middle),
        "cross_attention_dim": _context(shapes),
        "use_linear_projection": len(_first(shapes, r"\.1\.proj_in\.weight$")) == 2,
        "attention_head_dim": SD1_HEADS if checkpoint.family == "sd1" else [x // HEAD_WIDTH for x in channels],
        "transformer_layers_per_block": down,
    }
    if any(mine != theirs for mine, theirs, has in zip(reversed(up), down, attention, strict=True) if has):
        config["reverse_transformer_layers_per_block"] = up
    return config | _addition(checkpoint, shapes)


def vae_config(checkpoint: Checkpoint) -> Config:
    """Return the configuration of the autoencoder."""
    shapes = checkpoint.inside(VAE)
    channels = list[int]()
    while (name := f"encoder.down.{len(channels)}.block.0.conv1.weight") in shapes:
        channels.append(shapes[name][0])
    config: Config = {
        "block_out_channels": channels,
        "layers_per_block": _count(shapes, r"^encoder\.down\.0\.block\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "latent_channels": shapes["post_quant_conv.weight"][0],
        "sample_size": latent_side(checkpoint) * 2 ** (len(channels) - 1),
        "scaling_factor": PLAYGROUND_SCALING if checkpoint.is_playground else SCALING[checkpoint.family],
        "force_upcast": checkpoint.family == "sdxl",
    }
    return config


def text_configs(checkpoint: Checkpoint) -> tuple[Config, ...]:
    """Return the configurations of the text encoders: CLIP's own, then OpenCLIP's."""
    prefixes = TEXT[checkpoint.family]
    return tuple(_text_config(checkpoint.inside(prefix), checkpoint.family) for prefix in prefixes)


def latent_side(checkpoint: Checkpoint) -> int:
    """Return the side of the latents that the model was trained on."""
    named = re.match(r"(\d+)x\d+$", checkpoint.metadata.get("modelspec.resolution", ""))
    if named:
        return int(named[1]) // 8
    velocity = checkpoint.family == "sd2" and checkpoint.prediction_type != "epsilon"
    return SD2_V_SIDE if velocity else SIDES[checkpoint.family]


# ---------------------------------------------------------------- the UNet


def _levels(shapes: Mapping[str, Shape]) -> list[_Level]:
    """Read the way down, block by block: a ResNet, perhaps with attention, or the step to the next level."""
    levels, channels, depths = list[_Level](), 0, list[int]()
    for index in range(1, _count(shapes, r"^input_blocks\.(\d+)\.")):
        block = f"input_blocks.{index}."
        if f"{block}0.op.weight" in shapes:
            levels.append(_Level(channels, tuple(depths)))
            depths = []
        else:
            channels = shapes[f"{block}0.in_layers.2.weight"][0]
            depths.append(_depth_at(shapes, f"{block}1."))
    return [*levels, _Level(channels, tuple(depths))]


def _up_depths(shapes: Mapping[str, Shape], levels: int, layers: int) -> list[list[int]]:
    """Return the transformer layers of every block on the way up, in its order."""
    blocks = range(layers + 1)
    return [
        [_depth_at(shapes, f"output_blocks.{level * (layers + 1) + block}.1.") for block in blocks]
        for level in range(levels)
    ]


def _depth_at(shapes: Mapping[str, Shape], block: str) -> int:
    return _count(shapes, rf"^{re.escape(block)}transformer_blocks\.(\d+)\.")


def _depth(depths: Iterable[int]) -> int | list[int]:
    """Return one number where all blocks of a level are alike; a level without attention counts as 1, as usual."""
    found = list(depths)
    return (found[0] or 1) if len(set(found)) == 1 else found


def _middle_type(shapes: Mapping[str, Shape], depth: int) -> str | None:
    if not any(name.startswith("middle_block.") for name in shapes):
        return None
    return "UNetMidBlock2DCrossAttn" if depth else "UNetMidBlock2D"


def _addition(checkpoint: Checkpoint, shapes: Mapping[str, Shape]) -> Config:
    """Return what SDXL's UNet reads in addition."""
    if checkpoint.family != "sdxl":
        return {}
    width = shapes["label_emb.0.0.weight"][1]
    pooled = checkpoint.inside(TEXT["sdxl"][1])["text_projection"][1]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - pooled) // TIME_IDS,
        "projection_class_embeddings_input_dim": width,
    }


def _context(shapes: Mapping[str, Shape]) -> int:
    return _first(shapes, r"\.attn2\.to_k\.weight$")[1]


# ---------------------------------------------------------------- the text encoders


def _text_config(shapes: Mapping[str, Shape], family: Family) -> Config:
    open_clip = "positional_embedding" in shapes
    if open_clip:
        layers = _count(shapes, r"^transformer\.resblocks\.(\d+)\.")
        names = ("token_embedding.weight", "positional_embedding", r"resblocks\.0\.mlp\.c_fc\.weight$")
    else:
        layers = _count(shapes, r"encoder\.layers\.(\d+)\.")
        names = ("", "", r"layers\.0\.mlp\.fc1\.weight$")
    vocabulary, width = _first(shapes, r"token_embedding\.weight$")
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": _first(shapes, names[2])[0],
        "num_hidden_layers": layers - (family == "sd2"),  # which reads the states before the last layer
        "num_attention_heads": width // HEAD_WIDTH,
        "max_position_embeddings": _first(shapes, r"position(al)?_embedding(\.weight)?$")[0],
        "projection_dim": shapes["text_projection"][1] if "text_projection" in shapes else width,
        "hidden_act": "gelu" if open_clip else "quick_gelu",
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": 0 if open_clip else vocabulary - 1,
    }


# ---------------------------------------------------------------- names


def _count(names: Iterable[str], pattern: str) -> int:
    """Return one more than the highest number that the pattern finds; 0 if it finds none."""
    return 1 + max((int(found[1]) for name in names if (found := re.search(pattern, name))), default=-1)


def _first(shapes: Mapping[str, Shape], pattern: str) -> Shape:
    """Return the shape of the first tensor of that name.

    Raises:
        ModelError: there is none.
    """
    found = next((shape for name, shape in shapes.items() if re.search(pattern, name)), None)
    if found is None:
        raise ModelError(f'The file is no Stable Diffusion that is known: no tensor is named "{pattern}".')
    return found
