"""Multimodal cross-attention (section 3.3): pure functions of queries, keys and values.

The hidden states are attended to by two decoupled softmaxes that share one query::

    out = softmax(Q Kt^T / sqrt(d)) Vt + softmax(Q Ki^T / sqrt(d)) (lambda Vi)

with text keys and values ``Kt, Vt`` and subject keys and values ``Ki, Vi``; lambda, a scale per subject, is already
in the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdiff_core.nn.gates import Gate
from mmdiff_core.nn.map_recording import MapRequest, attention_maps
from mmdiff_core.nn.records import KeyValue
from mmdiff_core.types import MapKind


@dataclass(frozen=True)
class Attended:
    """What multimodal attention gives: the values seen by each pixel and, if watched, who was looked at."""

    output: Tensor  # (B, H, L, d)
    maps: Mapping[MapKind, Tensor] | None = None  # float32 (R, S, L), or (R, S, H, L) with heads kept


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Split heads: (B, tokens, H*d) -> (B, H, tokens, d)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Merge heads: (B, H, tokens, d) -> (B, tokens, H*d)."""
    return x.transpose(1, 2).flatten(2)


def attend(query: Tensor, keys: KeyValue) -> Tensor:
    """Compute softmax attention by torch's fused kernels. Args: query (B, H, L, d). Returns (B, H, L, d)."""
    return F.scaled_dot_product_attention(query, keys.key, keys.value, attn_mask=keys.bias)


def multimodal_attention(
    query: Tensor, text: KeyValue, image: KeyValue | None, request: MapRequest | None, gate: Gate | None = None
) -> Attended:
    """Compute text plus subject attention (eq. 4 of the paper, lambda inside the image values).

    Args:
        query: (B, H, L, d).
        text: keys and values of T text tokens.
        image: keys and values of K subject tokens and, after them, perhaps of a null token, for the last R rows of the
            batch; the rows before, most often the unconditional half, have no image term. None: no row has one.
        request: what to record; None leaves the fused kernels alone. The output is the same either way.
        gate: where each subject may be; None: everywhere.
    """
    if request is not None and request.shared_scores and request.shareable and gate is None:
        return attend_with_maps(query, text, image, request)
    output = attend(query, text)
    if image is not None:
        image = image if gate is None else gate.close(image)
        part = attend(query[-len(image.key) :], image)  # (R, H, L, d)
        output = _add_rows(output, part if gate is None else part * gate.total.to(part.dtype))
    maps = None if request is None else attention_maps(query, text, image, output, request, gate)
    return Attended(output, maps)


def attend_with_maps(query: Tensor, text: KeyValue, image: KeyValue | None, request: MapRequest) -> Attended:
    """Compute multimodal attention and its text and image maps from one set of scores, written out.

    For training: the maps then cost next to nothing, forward and backward, where beside a fused kernel they need all
    the scores once more. Args as :func:`multimodal_attention`.
    """
    rows, maps = request.rows, dict[MapKind, Tensor]()
    softmax = _softmax(query, text)  # (B, H, L, T)
    output = softmax @ text.value
    if "text" in request.recording.kinds:
        maps["text"] = _sum_columns(softmax[-rows:], _named_columns(request.words[-rows:], softmax.shape[-1]))
    owned = request.owned[-rows:]  # (R, S, K)
    if image is not None:
        softmax = _softmax(query[-len(image.key) :], image)  # (R, H, L, K [+ 1])
        output = _add_rows(output, softmax @ image.value)
        if "image" in request.recording.kinds:
            maps["image"] = _sum_columns(softmax[-rows:], F.pad(owned, (0, softmax.shape[-1] - owned.shape[-1])))
    elif "image" in request.recording.kinds:
        maps["image"] = owned.new_zeros(rows, owned.shape[1], query.shape[2])
    return Attended(output, maps)


def _softmax(query: Tensor, keys: KeyValue) -> Tensor:
    """Return the softmax over the tokens, (B, H, L, tokens); scaling the keys is cheaper, there are fewer of them."""
    scale: float = keys.key.shape[-1] ** -0.5
    scores = query @ (keys.key * scale).mT
    scores = scores if keys.bias is None else scores + keys.bias
    return scores.softmax(-1)


def _named_columns(words: Tensor, tokens: int) -> Tensor:
    """Return 1 at the tokens of each subject's word, float32 (R, S, T); all 0 for a subject without a word."""
    return (F.one_hot(words.clamp(min=0), tokens) * (words >= 0)[..., None].float()).sum(-2)


def _sum_columns(softmax: Tensor, columns: Tensor) -> Tensor:
    """Sum each subject's columns (R, S, tokens) of a softmax (R, H, L, tokens), mean of heads: float32 (R, S, L)."""
    with torch.autocast(softmax.device.type, enabled=False):
        return columns @ softmax.mean(1).float().mT


def _add_rows(whole: Tensor, part: Tensor) -> Tensor:
    """Add ``part`` (R, ...) to the last R rows of ``whole`` (B, ...), in place unless a gradient forbids it."""
    if len(part) == len(whole):
        return whole + part
    if whole.requires_grad or part.requires_grad:
        return torch.cat([whole[: -len(part)], whole[-len(part) :] + part])
    whole[-len(part) :] += part
    return whole
