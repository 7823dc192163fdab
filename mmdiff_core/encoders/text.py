"""CLIP text encoders with photos fused into the subjects' word embeddings (paper, section 3.2).

The encoder's modules are only read: the fused words and the LoRA deltas are arguments, so that one encoder
serves interleaved requests and is differentiable in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerBase

from mmdiff_core.encoders.devices import device_of
from mmdiff_core.nn.records import PromptTokens, TextStates

SMALLEST_WEIGHT = 1e-5  # of a token; at 0 the prompt without it would count endlessly

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
    clip_skip: int = 0,
) -> TextStates:
    """Encode a batch of prompts; long ones in several texts, whose states stand side by side.

    Args:
        encoder: a CLIP text encoder; its modules are read, never written.
        tokens: ids (B, T) and the subjects' words (B, S); a word at -1 stays plain, and so do all without ``fused``.
        fused: the vectors of the subjects' photos.
        deltas: LoRA deltas (out, in) by module path, such as ``encoder.layers.0.self_attn.q_proj``.
        penultimate: the states before the last layer without the final norm, as SDXL reads them.
        clip_skip: how many layers more to leave out at the end.

    Returns:
        States (B, T, W), and for an encoder with a projection the pooled vector (B, Dp) at the first end-of-text token.
    """

    def encode(ids: Tensor, words: FusedWords | None, hidden: Sequence[int] = ()) -> TextStates:
        return _encode(encoder, replace(tokens, ids=ids), words, hidden, deltas or {}, penultimate, clip_skip)

    whole = encode(tokens.ids, fused)
    if not tokens.weighted:
        return whole
    assert tokens.blank is not None
    empty = encode(tokens.blank, None).states.repeat(1, tokens.ids.shape[1] // tokens.blank.shape[1], 1)  # (1, T, W)
    gains = torch.ones(tokens.ids.shape[1], 1, device=empty.device, dtype=empty.dtype)  # (T, 1)
    for each in tokens.weighted:
        gains[list(each.tokens)] = each.weight

    def weigh(states: Tensor) -> Tensor:
        return torch.where(gains == 1, states, empty + (states - empty) * gains)

    # A weight below 1 also draws the whole prompt towards the one in which nobody sees those tokens.
    total, shares = weigh(whole.states), 1.0
    for low in (each for each in tokens.weighted if each.weight < 1):
        share = math.tan((1 - max(low.weight, SMALLEST_WEIGHT)) * math.pi / 2)  # 0 at 1, 1 at a half, endless at 0
        total, shares = total + share * weigh(encode(tokens.ids, fused, low.tokens).states), shares + share
    return TextStates(total / shares, whole.pooled)


def _encode(
    encoder: TextEncoder,
    tokens: PromptTokens,
    fused: FusedWords | None,
    hidden: Sequence[int],
    deltas: Mapping[str, Tensor],
    penultimate: bool,
    clip_skip: int,
) -> TextStates:
    """Run the encoder once; the tokens at ``hidden`` are seen by none. Other args and result as :func:`encode_text`."""
    model: Any = getattr(encoder, "text_model", encoder)  # CLIPTextModel has no inner model
    ids = tokens.ids.to(device_of(encoder))
    words = model.embeddings.token_embedding(ids)  #            (B, T, W)
    if fused is not None:
        words = fuse_words(words, tokens.words.to(ids.device), fused)
    rows, length = len(ids), min(ids.shape[1], encoder.config.max_position_embeddings)
    texts = words.reshape(-1, length, words.shape[-1])  #       (B n, T / n, W)
    states = model.embeddings(inputs_embeds=texts)  #           with positions
    mask = _causal_mask(ids, hidden, length) if hidden else None
    passed = [states]
    for index, layer in enumerate(model.encoder.layers):
        states = _layer(layer, states, f"encoder.layers.{index}.self_attn", deltas, mask)
        passed.append(states)
    last = model.final_layer_norm(states)  #                    (B n, T / n, W)
    read = passed[-1 - penultimate - clip_skip]
    if not penultimate:
        read = model.final_layer_norm(read) if clip_skip else last
    pooled = _pool(encoder, ids[:, :length], last.unflatten(0, (rows, -1))[:, 0])
    return TextStates(read.reshape(rows, -1, read.shape[-1]), pooled)


def _causal_mask(ids: Tensor, hidden: Sequence[int], length: int) -> Tensor:
    """Return which tokens each token of a text sees, (B n, 1, T / n, T / n) bool."""
    seen = torch.ones_like(ids, dtype=torch.bool)
    seen[:, list(hidden)] = False
    causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    return causal & seen.reshape(-1, 1, 1, length)


def fuse_words(words: Tensor, places: Tensor, fused: FusedWords) -> Tensor:
    """Replace word embeddings (B, T, W) at ``places`` (B, S); -1 replaces nothing."""
    row, subject = torch.nonzero(places >= 0, as_tuple=True)  # (n,) each
    place = places[row, subject]
    replaced = fused.fusion(words[row, place], fused.vectors[row, subject].to(words.dtype))  # (n, W)
    return words.index_put((row, place), replaced.to(words.dtype))


def _layer(layer: Any, states: Tensor, path: str, deltas: Mapping[str, Tensor], mask: Tensor | None) -> Tensor:
    """Run one pre-norm transformer layer with LoRA deltas on its self-attention."""
    states = states + _self_attention(layer.self_attn, layer.layer_norm1(states), path, deltas, mask)
    update: Tensor = layer.mlp(layer.layer_norm2(states))
    return states + update


def _self_attention(
    attention: Any, states: Tensor, path: str, deltas: Mapping[str, Tensor], mask: Tensor | None
) -> Tensor:
    """Compute the causal self-attention of (B, T, W); a mask says so itself, and hides some tokens."""

    def project(x: Tensor, name: str) -> Tensor:
        projected: Tensor = getattr(attention, name)(x)
        delta = deltas.get(f"{path}.{name}")
        return projected if delta is None else projected + F.linear(x, delta.to(x.dtype))

    def heads(x: Tensor) -> Tensor:  # (B, T, W) -> (B, H, T, W/H)
        return torch.unflatten(x, -1, (-1, attention.head_dim)).transpose(1, 2)

    query, key, value = (heads(project(states, name)) for name in ("q_proj", "k_proj", "v_proj"))
    out = F.scaled_dot_product_attention(query, key, value, mask, is_causal=mask is None, scale=attention.scale)
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


@torch.no_grad()
def encode_phrases(encoder: TextEncoder, tokenizer: PreTrainedTokenizerBase, phrases: Sequence[str]) -> Tensor:
    """Return a vector (n, W) for each of n phrases: the last state of its end-of-text token, not projected."""
    ids = tokenizer(list(phrases), padding="max_length", truncation=True, return_tensors="pt").input_ids
    model: Any = getattr(encoder, "text_model", encoder)
    pooled: Tensor = model(ids.to(device_of(encoder))).pooler_output
    return pooled


def join_states(encoded: Sequence[TextStates]) -> TextStates:
    """Join the states of several text encoders (B, T, sum of W), with the pooled vector of the last."""
    if len(encoded) == 1:
        return encoded[0]
    return TextStates(torch.cat([text.states for text in encoded], dim=-1), encoded[-1].pooled)
