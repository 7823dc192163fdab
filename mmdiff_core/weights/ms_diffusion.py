"""MS-Diffusion's checkpoint (Wang et al. 2024, arXiv 2406.07209) as a configuration of our adapter.

It is an image branch for SDXL that was trained with several subjects and their boxes. The image's K and V have weights
of their own, as IP-Adapter's; a resampler's queries come from each subject's name and box; and a subject is seen inside
its box alone, which is what our regions do. The unconditional half sees no photo. A file holds three tables:

    image_proj           grounding_latents, latent_proj, latent_norm, proj_in, layers.<n>, attention_norm, proj_out
    ms_adapter           <i>.to_{k,v}_ip.weight     i counts attention layers as the official release does
    dummy_image_tokens   for pixels outside all boxes, where they are multiplied by zero: they change no image
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from mmdiff_core.errors import CheckpointError
from mmdiff_core.nn.adapter import AdapterConfig, AttentionLayer, MMDiffAdapter, TextTower
from mmdiff_core.nn.config import ResamplerShape
from mmdiff_core.nn.refiner import BOX, FREQUENCIES
from mmdiff_core.weights.adapter_file import AdapterFile, adapter_of_tensors
from mmdiff_core.weights.official_release import REFINER, REFINER_LAYER, count_layers, joined_names, official_order

TABLE = "ms_adapter"
UNUSED = "dummy_image_tokens"
HEAD_DIM = 64  # of the resampler
QUERIES = {"resampler.queries": "image_proj/grounding_latents"}
GROUNDING = {
    "grounding_hidden": "latent_proj.0",
    "grounding_output": "latent_proj.2",
    "query_norm": "latent_norm",
    "looked_norm": "attention_norm",
}
IMAGE = {"key_image": "to_k_ip", "value_image": "to_v_ip"}


def is_ms_diffusion(tables: Mapping[str, Any]) -> bool:
    """Whether the tables of a file are those of MS-Diffusion."""
    return TABLE in tables


def ms_diffusion_tensors(tables: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return all tables as one, each key after the name of its table and a slash.

    Raises:
        CheckpointError: there are others, or something that is not a tensor.
    """
    strangers = set(tables) - {"image_proj", TABLE, UNUSED}
    tensors = {f"{table}/{name}": x for table in ("image_proj", TABLE) for name, x in tables.get(table, {}).items()}
    strangers |= {name for name, value in tensors.items() if not isinstance(value, Tensor)}
    if strangers:
        raise CheckpointError(
            f"This MS-Diffusion checkpoint contains something that it should not: {', '.join(sorted(strangers)[:5])}. "
            "Download it again."
        )
    return tensors


def convert_ms_diffusion(
    tensors: Mapping[str, Tensor],
    cross_attention: Sequence[AttentionLayer],
    text_widths: Sequence[int],
    source: str = "the MS-Diffusion checkpoint",
) -> AdapterFile:
    """Map every tensor of a checkpoint to its place in an adapter.

    Args:
        tensors: each key after the name of its table and a slash.
        cross_attention: the layers of the base model's UNet.
        text_widths: of the base model's text encoders.
        source: what messages call the checkpoint.

    Raises:
        CheckpointError: a tensor is missing, unknown or of a shape that does not fit the UNet's layers.
    """
    return adapter_of_tensors(
        tensors, lambda found: _config(found, cross_attention, text_widths), ms_diffusion_names, source
    )


def ms_diffusion_names(adapter: MMDiffAdapter) -> dict[str, str]:
    """Map every state-dict key of a converted adapter to the checkpoint's key after its table's name."""
    assert adapter.config.resampler is not None  # every such checkpoint has one
    modules = joined_names("resampler.", "image_proj/", {**REFINER, **GROUNDING})
    for index in range(adapter.config.resampler.depth):
        modules |= joined_names(f"resampler.layers.{index}.", f"image_proj/layers.{index}.", REFINER_LAYER)
    for place, layer in enumerate(official_order(adapter.config.cross_attention)):
        modules |= joined_names(f"unet.{layer.path}.", f"{TABLE}/{2 * place + 1}.", IMAGE)  # self-attention precedes
    names = dict(QUERIES)
    for key in adapter.state_dict().keys() - names.keys():
        module, _, parameter = key.rpartition(".")
        names[key] = f"{modules[module]}.{parameter}"
    return names


def _config(
    tensors: Mapping[str, Tensor], cross_attention: Sequence[AttentionLayer], text_widths: Sequence[int]
) -> AdapterConfig:
    """Read the sizes off the tensors."""
    queries = tensors["image_proj/grounding_latents"]  # (1, N, width)
    shape = ResamplerShape(
        width=queries.shape[-1],
        heads=len(tensors["image_proj/layers.0.0.to_q.weight"]) // HEAD_DIM,
        head_dim=HEAD_DIM,
        depth=count_layers(tensors, r"image_proj/layers\.(\d+)\."),
        hidden=len(tensors["image_proj/layers.0.1.1.weight"]),
        phrase_width=tensors["image_proj/latent_proj.0.weight"].shape[1] - 2 * BOX * FREQUENCIES,
    )
    return AdapterConfig(
        cross_attention=tuple(cross_attention),
        text_towers=tuple(map(TextTower, text_widths)),
        cls_width=0,
        patch_width=tensors["image_proj/proj_in.weight"].shape[1],
        rank=0,
        tokens=queries.shape[1],
        refiner_depth=0,
        resampler=shape,
        own_image_weights=True,
        word_fusion=False,
        null_token=False,
        patches_with_cls=True,
        photo_fit="crop",
    )
