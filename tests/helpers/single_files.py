"""Tiny models in the proportions of the originals, and their weights in one file under the original names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, EulerDiscreteScheduler, PNDMScheduler, SchedulerMixin, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.helpers import tiny

SD1 = {
    "block_out_channels": (32, 64),
    "norm_num_groups": 32,
    "attention_head_dim": 8,
    "cross_attention_dim": 64,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 2,
    "sample_size": 16,
}
HEADS_OF_64 = {**SD1, "block_out_channels": (64, 128), "attention_head_dim": (1, 2), "use_linear_projection": True}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def sd1(**changes: object) -> DiffusionPipeline:
    """As Stable Diffusion 1.5: no attention at the bottom, eight heads."""
    scheduler = PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False)
    return _with(tiny.stable_diffusion(scheduler, vae=_vae(0.18215), **{**SD1, **changes}), [_text()])


def sd2(scheduler: SchedulerMixin) -> DiffusionPipeline:
    """As Stable Diffusion 2.1: OpenCLIP's text encoder without its last layer."""
    pipe = tiny.stable_diffusion(scheduler, vae=_vae(0.18215), **HEADS_OF_64)
    pipe.tokenizer = tiny.tokenizer(pad="!")
    return _with(pipe, [_text(open_clip=True)])


def sdxl(scheduler: SchedulerMixin | None = None, **changes: object) -> DiffusionPipeline:
    """As SDXL: both text encoders, deeper attention at the bottom."""
    shape = {
        **HEADS_OF_64,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 192,
        "transformer_layers_per_block": (1, 2),
        "projection_class_embeddings_input_dim": 128 + 6 * 8,
        **changes,
    }
    scheduler = scheduler or EulerDiscreteScheduler(**BETAS, timestep_spacing="leading")
    pipe = tiny.stable_diffusion_xl(scheduler, vae=_vae(0.13025), **shape)
    return _with(pipe, [_text(), _text(open_clip=True, projection=True, width=128)])


def _vae(scale: float) -> nn.Module:
    shape = {"block_out_channels": (32, 64), "norm_num_groups": 32, "layers_per_block": 2}
    return tiny.autoencoder(scale, **shape, force_upcast=scale == 0.13025)


def _text(open_clip: bool = False, projection: bool = False, width: int = 64) -> nn.Module:
    vocabulary = len(tiny.tokenizer())
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=3,
        num_attention_heads=width // 64,
        hidden_act="gelu" if open_clip else "quick_gelu",
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0 if open_clip else vocabulary - 1,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def _with(pipe: DiffusionPipeline, texts: list[nn.Module]) -> DiffusionPipeline:
    for name, text in zip(("text_encoder", "text_encoder_2"), texts, strict=False):
        pipe.register_modules(**{name: text.eval()})
    pipe.register_modules(image_encoder=None, feature_extractor=None)
    return pipe


def write_file(pipe: DiffusionPipeline, path: Path, metadata: Mapping[str, str] | None = None, **more: Tensor) -> Path:
    """Write all networks' weights under their original names, with a vocabulary in the folder beside."""
    family = "sdxl" if hasattr(pipe, "text_encoder_2") else "sd2" if pipe.tokenizer.pad_token == "!" else "sd1"
    tensors = dict(_prefixed("model.diffusion_model.", _unet_names(pipe.unet)))
    tensors |= dict(_prefixed("first_stage_model.", _vae_names(pipe.vae)))
    if family == "sd1":
        tensors |= dict(_prefixed("cond_stage_model.transformer.text_model.", _clip_names(pipe.text_encoder)))
    elif family == "sd2":
        tensors |= dict(_prefixed("cond_stage_model.model.", _open_clip_names(pipe.text_encoder, spare_layer=True)))
    else:
        tensors |= dict(_prefixed("conditioner.embedders.0.transformer.text_model.", _clip_names(pipe.text_encoder)))
        tensors |= dict(_prefixed("conditioner.embedders.1.model.", _open_clip_names(pipe.text_encoder_2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors["model_ema.decay"] = torch.tensor(0.5)  # what training leaves behind
    save_file({name: x.contiguous().clone() for name, x in {**tensors, **more}.items()}, path, dict(metadata or {}))
    tiny.tokenizer().save_pretrained(path.parent / "tokenizer")
    return path


def _prefixed(prefix: str, tensors: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    yield from ((prefix + name, x) for name, x in tensors)


# ---------------------------------------------------------------- the UNet

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _unet_names(unet: UNet2DConditionModel) -> Iterator[tuple[str, Tensor]]:
    places = dict(_places(unet))
    for name, values in unet.state_dict().items():
        place = next(((mine, theirs) for mine, theirs in places.items() if name.startswith(f"{mine}.")), None)
        if place is None:
            mine, theirs = next(pair for pair in ENDS.items() if name.startswith(f"{pair[0]}."))
            yield name.replace(mine, theirs), values
            continue
        inside = name.removeprefix(f"{place[0]}.")
        if ".resnets." in f".{place[0]}.":
            first, _, rest = inside.partition(".")
            inside = f"{RESNET[first]}.{rest}"
        yield f"{place[1]}.{inside}", values


def unet_shapes(unet: UNet2DConditionModel) -> dict[str, tuple[int, ...]]:
    """The shapes of a UNet's tensors under their original names."""
    return {f"model.diffusion_model.{name}": tuple(x.shape) for name, x in _unet_names(unet)}


def _places(unet: UNet2DConditionModel) -> Iterator[tuple[str, str]]:
    """Number the blocks as the original does: one list of them down, one up."""
    number = 1
    for level, block in enumerate(unet.down_blocks):
        for index in range(len(block.resnets)):
            yield f"down_blocks.{level}.resnets.{index}", f"input_blocks.{number}.0"
            yield f"down_blocks.{level}.attentions.{index}", f"input_blocks.{number}.1"
            number += 1
        if block.downsamplers:
            yield f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{number}.0.op"
            number += 1
    yield "mid_block.resnets.0", "middle_block.0"
    yield "mid_block.attentions.0", "middle_block.1"
    yield "mid_block.resnets.1", "middle_block.2"
    number = 0
    for level, block in enumerate(unet.up_blocks):
        attention = hasattr(block, "attentions")
        for index in range(len(block.resnets)):
            yield f"up_blocks.{level}.resnets.{index}", f"output_blocks.{number}.0"
            yield f"up_blocks.{level}.attentions.{index}", f"output_blocks.{number}.1"
            number += 1
        if block.upsamplers:
            yield f"up_blocks.{level}.upsamplers.0.conv", f"output_blocks.{number - 1}.{1 + attention}.conv"


# ---------------------------------------------------------------- the autoencoder


def _vae_names(vae: nn.Module) -> Iterator[tuple[str, Tensor]]:
    levels = len(vae.config.block_out_channels)
    for name, values in vae.state_dict().items():
        path = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        path = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", path)
        path = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", path)
        path = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", path)
        path = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", path)
        path = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", path)
        if "mid_block.attentions.0" in path:
            path = path.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
            path = re.sub(r"to_([qkv])\.", r"\1.", path).replace("to_out.0", "proj_out")
            values = values[:, :, None, None] if values.ndim == 2 else values  # convolutions there
        yield path, values


# ---------------------------------------------------------------- the text encoders


def _flat(encoder: nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("text_model."): x for name, x in encoder.state_dict().items()}


def _clip_names(encoder: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from _flat(encoder).items()
    yield "embeddings.position_ids", torch.arange(77)[None]


OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm": "ln_",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}


def _open_clip_names(encoder: nn.Module, spare_layer: bool = False) -> Iterator[tuple[str, Tensor]]:
    """``spare_layer``: with one more, which Stable Diffusion 2 does not read."""
    flat = _flat(encoder)
    if spare_layer:
        last, spare = encoder.config.num_hidden_layers - 1, encoder.config.num_hidden_layers
        flat |= {
            name.replace(f"layers.{last}.", f"layers.{spare}."): torch.rand_like(x)
            for name, x in flat.items()
            if f"layers.{last}." in name
        }
    width = encoder.config.hidden_size
    yield "text_projection", flat.pop("text_projection.weight", torch.rand(width, width)).T
    yield "logit_scale", torch.tensor(4.6)
    for name, values in flat.items():
        path = name
        for mine, theirs in OPEN_CLIP.items():
            path = path.replace(mine, theirs)
        if ".q_proj." in path:
            joint = [flat[name.replace("q_proj", f"{letter}_proj")] for letter in "qkv"]
            yield path.replace("q_proj.", "in_proj_"), torch.cat(joint)
        elif not re.search(r"\.[kv]_proj\.", path):
            yield path, values
