"""The names of a text encoder's tensors in a model's file, turned into transformers'."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

IGNORED = ("position_ids", "logit_scale", "attn_mask")  # not weights
OPEN_CLIP = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "ln_final.": "final_layer_norm.",
    "transformer.resblocks.": "encoder.layers.",
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".attn.": ".self_attn.",
}
IN_PROJECTION = ".in_proj_"  # OpenCLIP's query, key and value in one


def text_weights(tensors: Mapping[str, Tensor], layers: int, projection: bool) -> dict[str, Tensor]:
    """Return a text encoder's tensors by their paths in transformers' inner text model.

    Args:
        tensors: of one text encoder, without its prefix.
        layers: how many the encoder keeps; SD 2.x leaves the last one out.
        projection: whether it has one.
    """
    kept = {name: x for name, x in tensors.items() if not name.endswith(IGNORED)}
    if "positional_embedding" not in kept:
        return {name.removeprefix("text_model."): x for name, x in kept.items() if name.split(".")[0] != "logit_scale"}
    weights: dict[str, Tensor] = {}
    for name, values in kept.items():
        if name == "text_projection":
            weights |= {"text_projection.weight": values.T.contiguous()} if projection else {}
            continue
        path = name
        for theirs, ours in OPEN_CLIP.items():
            path = path.replace(theirs, ours)
        parts = path.split(".")
        if parts[:2] == ["encoder", "layers"] and int(parts[2]) >= layers:
            continue
        weights |= _separated(path, values) if IN_PROJECTION in path else {path: values}
    return weights


def _separated(path: str, values: Tensor) -> dict[str, Tensor]:
    """Return query, key and value of their joint projection (3 W, W) or its bias (3 W)."""
    layer, kind = path.split(IN_PROJECTION)
    return {f"{layer}.{name}_proj.{kind}": part for name, part in zip("qkv", values.chunk(3), strict=True)}
