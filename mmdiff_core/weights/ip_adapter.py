"""Public IP-Adapter checkpoints (Ye et al. 2023) as configurations of our adapter.

An IP-Adapter is an image branch and nothing else: no word fusion and no null token; the image's K and V have weights of
their own, and the unconditional half of the batch sees the tokens of a blank photo. A file holds two tables:

    image_proj   proj, norm                                 plain: one matrix from the CLS to 4 tokens
                 latents, proj_in, layers.<n>, proj_out     Plus, Plus-Face: a resampler of the patches
                 proj.0, proj.2, norm                       FaceID: from an ArcFace embedding to the tokens
                 proj.*, norm, perceiver_resampler.*        FaceID-Plus: the same, refined by the patches of the face
    ip_adapter   <i>.to_{k,v}_ip.weight                     i counts attention layers as the official release does
                 <i>.to_{q,k,v,out}_lora.{down,up}.weight   FaceID alone
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmdiff_core.errors import CheckpointError
from mmdiff_core.nn.adapter import AdapterConfig, AttentionLayer, MMDiffAdapter, TextTower
from mmdiff_core.nn.config import ResamplerShape
from mmdiff_core.weights.adapter_file import AdapterFile, adapter_of_tensors
from mmdiff_core.weights.hub import VIT_BIGG, VIT_H
from mmdiff_core.weights.official_release import (
    ATTENTION,
    FACTORS,
    REFINER,
    REFINER_LAYER,
    TOKEN_PROJECTOR,
    count_layers,
    joined_names,
    official_order,
)
from mmdiff_core.weights.pickled_table import read_pickled_table

TABLES = ("image_proj", "ip_adapter")
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
BASES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}  # by D
# Of what the released checkpoints were trained with: (Dv, Dh) by the place on the hub.
IMAGE_ENCODERS = {
    VIT_H: (1024, 1280),
    VIT_BIGG: (1280, 1664),
}
_HEAD_DIM = 64  # of every IP-Adapter's resampler, whatever its width
_IMAGE = {"key_image": "to_k_ip", "value_image": "to_v_ip"}
# our module name -> name in the table image_proj
_PLAIN_PROJECTOR = {"output": "proj", "norm": "norm"}
_FACE_PROJECTOR = {**TOKEN_PROJECTOR, "norm": "norm"}
_FACE_REFINER = "perceiver_resampler."


def is_ip_adapter(path: str | PathLike[str]) -> bool:
    """Whether a file looks like an IP-Adapter: a pickled table, or a safetensors file with its two tables."""
    path = Path(path)
    if not path.is_file():
        return False
    if path.suffix != ".safetensors":
        return path.suffix in PICKLED
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
        return any(name.startswith(f"{table}.") for name in names for table in TABLES)
    except (SafetensorError, OSError):
        return False


def read_ip_adapter(path: str | PathLike[str]) -> dict[str, Tensor]:
    """Return both tables of a file as one, each key after the name of its table and a slash.

    Of a pickled file torch's restricted unpickler reads tensors and nothing else.

    Raises:
        CheckpointError: it is missing, damaged, or no IP-Adapter.
    """
    return ip_adapter_tensors(path, read_tables(Path(path)))


def ip_adapter_tensors(path: str | PathLike[str], tables: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tables of :func:`read_tables` as one, as :func:`read_ip_adapter` does."""
    if unknown := sorted(set(map(str, tables)) - set(TABLES)):
        raise CheckpointError(
            f'"{path}" is no IP-Adapter, which has the two tables {" and ".join(TABLES)}, but contains '
            f"{', '.join(unknown[:5])}: give another file."
        )
    if not all(isinstance(tables.get(name), dict) and tables[name] for name in TABLES):
        raise CheckpointError(
            f'"{path}" is no IP-Adapter, which has the two tables {" and ".join(TABLES)}: give the file of an '
            "IP-Adapter, an MM-Diff adapter, or the folder of the official release."
        )
    tensors = {f"{table}/{name}": x for table in TABLES for name, x in tables[table].items()}
    others = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others:
        raise CheckpointError(f'"{path}" contains something that is not a tensor: {", ".join(map(str, others[:5]))}')
    return tensors


def context_width(tensors: Mapping[str, Tensor], source: str = "the IP-Adapter") -> int:
    """Return D of the base that a file was made for.

    Raises:
        CheckpointError: it has no image projections.
    """
    found = next((x for name, x in tensors.items() if name.endswith(".to_k_ip.weight")), None)
    if found is None or found.ndim != 2:
        raise CheckpointError(f"There is no tensor to_k_ip in {source}: download it again.")
    return found.shape[1]


def convert_ip_adapter(
    tensors: Mapping[str, Tensor],
    cross_attention: Sequence[AttentionLayer],
    self_attention: Sequence[AttentionLayer],
    text_widths: Sequence[int],
    source: str = "the IP-Adapter",
) -> AdapterFile:
    """Map every tensor of an IP-Adapter to its place in an adapter.

    Args:
        tensors: of :func:`read_ip_adapter`.
        cross_attention, self_attention: the layers of the base model's UNet.
        text_widths: of the base model's text encoders.
        source: what messages call the checkpoint. FaceID-Plus and its second version, which hold the same tensors, are
            told apart by "plusv2" in it.

    Raises:
        CheckpointError: the base is another, the kind is not known, or a tensor is missing, unknown or of a shape that
            does not fit the UNet's layers.
    """
    width, own = cross_attention[0].context, context_width(tensors, source)
    if width != own:
        raise CheckpointError(
            f"{_sentence(source)} was made for another base: its layers read {_base(own)}, those of the base "
            f"{_base(width)}. Give one for this base, or another base."
        )
    return adapter_of_tensors(
        tensors,
        lambda found: _config(found, cross_attention, self_attention, text_widths, source),
        ip_adapter_names,
        source,
    )


def ip_adapter_names(adapter: MMDiffAdapter) -> dict[str, str]:
    """Map every state-dict key of a converted adapter to the key of :func:`read_ip_adapter`."""
    modules = _projection_modules(adapter.config) | _unet_modules(adapter.config)
    names = {"resampler.queries": "image_proj/latents"} if adapter.config.resampler else {}
    for key in adapter.state_dict().keys() - names.keys():
        module, _, parameter = key.rpartition(".")
        names[key] = f"{modules[module]}.{parameter}"
    return names


# ---------------------------------------------------------------- reading


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of tensors in a file, whatever they are, and single tensors among them.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return _safetensors_tables(path)
        return read_pickled_table(path, "The adapter")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'The adapter "{path}" is not there or is damaged: download it again.') from error


def _safetensors_tables(path: Path) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        for name in names:
            table, _, rest = name.partition(".")
            if rest:
                tables.setdefault(table, {})[rest] = file.get_tensor(name)
            else:
                tables[name] = file.get_tensor(name)
    return tables


# ---------------------------------------------------------------- the kinds


def _config(
    tensors: Mapping[str, Tensor],
    cross_attention: Sequence[AttentionLayer],
    self_attention: Sequence[AttentionLayer],
    text_widths: Sequence[int],
    source: str,
) -> AdapterConfig:
    """Read kind and sizes off the tensors."""
    first_lora = tensors.get("ip_adapter/0.to_q_lora.down.weight")
    rank = 0 if first_lora is None else first_lora.shape[0]
    return AdapterConfig(
        cross_attention=tuple(cross_attention),
        self_attention=tuple(self_attention) if rank else (),
        text_towers=tuple(map(TextTower, text_widths)),
        rank=rank,
        self_attention_rank=rank,
        word_fusion=False,
        null_token=False,
        own_image_weights=True,
        unconditional="blank",
        photo_fit="crop",
        **_projection(tensors, cross_attention[0].context, source),
    )


def _projection(tensors: Mapping[str, Tensor], width: int, source: str) -> dict:
    """Return the fields of a configuration that say how photos become tokens."""
    names = {name.removeprefix("image_proj/") for name in tensors if name.startswith("image_proj/")}
    if "proj.weight" in names:
        matrix = tensors["image_proj/proj.weight"]
        sizes = {"tokens": len(matrix) // width, "cls_width": matrix.shape[1], "patch_width": 0}
        return sizes | {"refiner_depth": 0, "deep_projection": False}
    if "latents" in names:
        return _plus(tensors)
    if "proj.2.weight" in names and "norm.weight" in names:
        return _faces(tensors, width, source)
    if "proj.3.weight" in names:
        raise CheckpointError(
            f"{_sentence(source)} is of the kind Full-Face, which cannot be used: take ip-adapter-plus-face instead."
        )
    raise CheckpointError(f"{_sentence(source)} is of a kind that is not known: take a plain, Plus or FaceID one.")


def _plus(tensors: Mapping[str, Tensor]) -> dict:
    latents = tensors["image_proj/latents"]  # (1, N, width)
    shape = ResamplerShape(
        width=latents.shape[-1],
        heads=len(tensors["image_proj/layers.0.0.to_q.weight"]) // _HEAD_DIM,
        head_dim=_HEAD_DIM,
        depth=count_layers(tensors, r"image_proj/layers\.(\d+)\."),
        hidden=len(tensors["image_proj/layers.0.1.1.weight"]),
    )
    patch_width = tensors["image_proj/proj_in.weight"].shape[1]
    sizes = {"tokens": latents.shape[-2], "cls_width": 0, "patch_width": patch_width}
    return sizes | {"refiner_depth": 0, "patches_with_cls": True, "resampler": shape}


def _faces(tensors: Mapping[str, Tensor], width: int, source: str) -> dict:
    fields: dict = {
        "tokens": len(tensors["image_proj/proj.2.weight"]) // width,
        "source": "face",
        "cls_width": 0,
        "patch_width": 0,
        "refiner_depth": 0,
    }
    depth = count_layers(tensors, rf"image_proj/{re.escape(_FACE_REFINER)}layers\.(\d+)\.")
    if depth == 0:
        return fields
    refiner = f"image_proj/{_FACE_REFINER}"
    return fields | {
        "patch_width": tensors[f"{refiner}proj_in.weight"].shape[1],
        "patches_with_cls": True,
        "refiner_depth": depth,
        "refiner_head_dim": _HEAD_DIM,
        "refiner_hidden": len(tensors[f"{refiner}layers.0.1.1.weight"]),
        "refiner_residual": "plusv2" in source.lower(),
    }


def _projection_modules(config: AdapterConfig) -> dict[str, str]:
    """Map our modules to those of the table ``image_proj``."""
    if config.resampler is not None:
        return _refiner_modules("resampler.", "image_proj/", config.resampler.depth)
    table = _PLAIN_PROJECTOR if not config.deep_projection else _FACE_PROJECTOR
    modules = joined_names("token_projector.", "image_proj/", table)
    if config.refiner_depth:
        modules |= _refiner_modules("refiner.", f"image_proj/{_FACE_REFINER}", config.refiner_depth)
    return modules


def _refiner_modules(ours: str, theirs: str, depth: int) -> dict[str, str]:
    modules = joined_names(ours, theirs, REFINER)
    for index in range(depth):
        modules |= joined_names(f"{ours}layers.{index}.", f"{theirs}layers.{index}.", REFINER_LAYER)
    return modules


def _unet_modules(config: AdapterConfig) -> dict[str, str]:
    """Map our modules to those of the table ``ip_adapter``."""
    modules: dict[str, str] = {}
    layers = official_order((*config.cross_attention, *config.self_attention))
    for place, layer in enumerate(layers):
        # A self-attention precedes every cross-attention, and counts where it has no LoRA as well.
        index = place if config.self_attention else 2 * place + 1
        if layer in config.cross_attention:
            modules |= joined_names(f"unet.{layer.path}.", f"ip_adapter/{index}.", _IMAGE)
        if config.rank:
            for ours, theirs in ATTENTION.items():
                modules |= joined_names(f"unet.{layer.path}.{ours}.", f"ip_adapter/{index}.{theirs}.", FACTORS)
    return modules


def _base(width: int) -> str:
    return f"{width} channels" + (f" ({BASES[width]})" if width in BASES else "")


def _sentence(source: str) -> str:
    return source[:1].upper() + source[1:]
