"""CLIP text encoders with photos fused into the subjects' word embeddings (paper, section 3.2).

The encoder's modules are only read: the fused words and the LoRA deltas are arguments, so that one encoder
serves interleaved requests and is differentiable in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from mmdiff_core.encoders.devices import device_of
from mmdiff_core.nn.records import PromptTokens, TextStates

TextEncoder: TypeAlias = CLIPTextModel | CLIPTextModelWithProjection


@dataclass(frozen=True)
class FusedWords:
    """What replaces the subjects' word embeddings in one text encoder: ``fusion([w ; vectors])``."""

    fusion: Callable[[Tensor, Tensor], Tensor]  # nn.fusion.WordFusion: (n, W), (n, W) -> (n, W)
    vectors: Tensor  # (B, S, W) one per subject, in the width of this text encoder


def encode_text(
    encoder: TextEncoder,
    tokens: PromptTokens,
    fused: FusedWords | None = None,
    *,
    deltas: Mapping[str, Tensor] | None = None,
    penultimate: bool = False,
) -> TextStates:
    """Encode a batch of prompts.

    Args:
        encoder: a CLIP text encoder; its modules are read, never written.
        tokens: ids (B, T) and the subjects' words (B, S); a word at -1 stays plain, and so do all without ``fused``.
        fused: the vectors of the subjects' photos.
        deltas: LoRA deltas (out, in) by module path, such as ``encoder.layers.0.self_attn.q_proj``.
        penultimate: the states before the last layer without the final norm, as SDXL reads them.

    Returns:
        States (B, T, W), and for an encoder with a projection the pooled vector (B, Dp) at the end-of-text token.
    """
    model: Any = getattr(encoder, "text_model", encoder)  # CLIPTextModel has no inner model
    ids = tokens.ids.to(device_of(encoder))
    words = model.embeddings.token_embedding(ids)  #            (B, T, W)
    if fused is not None:
        words = fuse_words(words, tokens.words.to(ids.device), fused)
    states = model.embeddings(inputs_embeds=words)  #           (B, T, W) with positions
    before_last = states
    for index, layer in enumerate(model.encoder.layers):
        before_last = states
        states = _layer(layer, states, f"encoder.layers.{index}.self_attn", deltas or {})
    last = model.final_layer_norm(states)  #                    (B, T, W)
    return TextStates(before_last if penultimate else last, _pool(encoder, ids, last))


def fuse_words(words: Tensor, places: Tensor, fused: FusedWords) -> Tensor:
    """Replace word embeddings (B, T, W) at ``places`` (B, S); -1 replaces nothing."""
    row, subject = torch.nonzero(places >= 0, as_tuple=True)  # (n,) each
    place = places[row, subject]
    replaced = fused.fusion(words[row, place], fused.vectors[row, subject].to(words.dtype))  # (n, W)
    return words.index_put((row, place), replaced.to(words.dtype))


def _layer(layer: Any, states: Tensor, path: str, deltas: Mapping[str, Tensor]) -> Tensor:
    """Run one pre-norm transformer layer with LoRA deltas on its self-attention."""
    states = states + _self_attention(layer.self_attn, layer.layer_norm1(states), path, deltas)
    update: Tensor = layer.mlp(layer.layer_norm2(states))
    return states + update


def _self_attention(attention: Any, states: Tensor, path: str, deltas: Mapping[str, Tensor]) -> Tensor:
    """Compute the causal self-attention of (B, T, W)."""

    def project(x: Tensor, name: str) -> Tensor:
        projected: Tensor = getattr(attention, name)(x)
        delta = deltas.get(f"{path}.{name}")
        return projected if delta is None else projected + F.linear(x, delta.to(x.dtype))

    def heads(x: Tensor) -> Tensor:  # (B, T, W) -> (B, H, T, W/H)
        return torch.unflatten(x, -1, (-1, attention.head_dim)).transpose(1, 2)

    query, key, value = (heads(project(states, name)) for name in ("q_proj", "k_proj", "v_proj"))
    out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=attention.scale)
    return project(out.transpose(1, 2).flatten(2), "out_proj")


def _pool(encoder: TextEncoder, ids: Tensor, last: Tensor) -> Tensor | None:
    """Return the projected state (B, Dp) of the first end-of-text token; None without a projection."""
    projection = getattr(encoder, "text_projection", None)
    if projection is None:
        return None
    end = encoder.config.eos_token_id
    # Configurations before transformers 4.31 say 2 whatever the vocabulary; there the end token has the highest id.
    place = ids.argmax(-1) if end == 2 else (ids == end).int().argmax(-1)
    pooled: Tensor = projection(last[torch.arange(len(ids), device=ids.device), place])
    return pooled


def join_states(encoded: Sequence[TextStates]) -> TextStates:
    """Join the states of several text encoders (B, T, sum of W), with the pooled vector of the last."""
    if len(encoded) == 1:
        return encoded[0]
    return TextStates(torch.cat([text.states for text in encoded], dim=-1), encoded[-1].pooled)
