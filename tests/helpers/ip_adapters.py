"""Random IP-Adapter checkpoints in the released layout, for tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from mmdiff_core.nn.config import FACE_WIDTH
from tests.helpers import tiny

Kind = Literal["plain", "plus", "faceid", "faceid-plus"]
Tables = dict[str, dict[str, Tensor]]
WIDTH, HEADS, DEPTH, QUERIES = 48, 2, 4, 5  # of the resampler, whose heads are 64 wide and whose layers are always four
TOKENS, RANK = 4, 3


def ip_adapter(kind: Kind, pipe: DiffusionPipeline, seed: int = 0) -> Tables:
    """Return the two tables of a checkpoint for a pipeline's UNet, strong enough to change any picture."""
    generator = torch.Generator().manual_seed(seed)
    context = pipe.unet.config.cross_attention_dim
    shapes = {"plain": _plain, "plus": _plus, "faceid": _faceid, "faceid-plus": _faceid_plus}[kind](context)
    layers: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(pipe.unet.attn_processors):
        attention = pipe.unet.get_submodule(name.removesuffix(".processor"))
        if attention.is_cross_attention:
            layers |= {f"{index}.to_{x}_ip.weight": attention.to_k.weight.shape for x in "kv"}
        if kind.startswith("faceid"):
            layers |= _loras(index, attention)
    return {"image_proj": drawn(shapes, generator), "ip_adapter": drawn(layers, generator)}


def save_ip_adapter(tables: Tables, path: Path) -> Path:
    """Write the tables as the released files have them, pickled or as safetensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file({f"{table}.{name}": x for table, values in tables.items() for name, x in values.items()}, path)
    else:
        torch.save(tables, path)
    return path


def _plain(context: int) -> dict[str, tuple[int, ...]]:
    return {
        "proj.weight": (TOKENS * context, tiny.PROJECTION),
        "proj.bias": (TOKENS * context,),
        **_norm("norm", context),
    }


def _plus(context: int) -> dict[str, tuple[int, ...]]:
    return {"latents": (1, QUERIES, WIDTH), **resampler_shapes("", WIDTH, context, HEADS)}


def _faceid(context: int) -> dict[str, tuple[int, ...]]:
    return {
        "proj.0.weight": (2 * FACE_WIDTH, FACE_WIDTH),
        "proj.0.bias": (2 * FACE_WIDTH,),
        "proj.2.weight": (TOKENS * context, 2 * FACE_WIDTH),
        "proj.2.bias": (TOKENS * context,),
        **_norm("norm", context),
    }


def _faceid_plus(context: int) -> dict[str, tuple[int, ...]]:
    heads = max(1, context // 64)  # as many as fit
    return {**_faceid(context), **resampler_shapes("perceiver_resampler.", context, context, heads)}


def resampler_shapes(prefix: str, width: int, context: int, heads: int) -> dict[str, tuple[int, ...]]:
    """The shapes of a resampler's tensors but its queries."""
    inner = 64 * heads
    shapes = {
        "proj_in.weight": (width, tiny.PATCH_WIDTH),
        "proj_in.bias": (width,),
        "proj_out.weight": (context, width),
        "proj_out.bias": (context,),
        **_norm("norm_out", context),
    }
    for layer in range(DEPTH):
        shapes |= {
            **_norm(f"layers.{layer}.0.norm1", width),
            **_norm(f"layers.{layer}.0.norm2", width),
            f"layers.{layer}.0.to_q.weight": (inner, width),
            f"layers.{layer}.0.to_kv.weight": (2 * inner, width),
            f"layers.{layer}.0.to_out.weight": (width, inner),
            **_norm(f"layers.{layer}.1.0", width),
            f"layers.{layer}.1.1.weight": (4 * width, width),
            f"layers.{layer}.1.3.weight": (width, 4 * width),
        }
    return {prefix + name: shape for name, shape in shapes.items()}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _loras(index: int, attention: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    linears = {"q": attention.to_q, "k": attention.to_k, "v": attention.to_v, "out": attention.to_out[0]}
    return {
        f"{index}.to_{name}_lora.{factor}.weight": shape
        for name, linear in linears.items()
        for factor, shape in (("down", (RANK, linear.in_features)), ("up", (linear.out_features, RANK)))
    }


def drawn(shapes: dict[str, tuple[int, ...]], generator: torch.Generator) -> dict[str, Tensor]:
    """Random tensors of these shapes, each strong enough to count."""
    return {
        name: torch.randn(shape, generator=generator) * (shape[-1] ** -0.5 if len(shape) > 1 else 0.3)
        + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for name, shape in shapes.items()
    }
