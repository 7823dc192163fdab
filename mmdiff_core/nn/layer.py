"""The adapter's share of one attention layer: its LoRAs, the merged weights, and a request's keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdiff_core.nn.attention import split_heads
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.lora import Lora, from_eight_bits, loaded_weight
from mmdiff_core.nn.records import KeyValue, LayerCondition, SubjectEmbeddings


class FrozenAttention(Protocol):
    """An attention layer of the base model, as diffusers names its parts."""

    to_q: nn.Linear
    to_k: nn.Linear
    to_v: nn.Linear
    to_out: Sequence[nn.Linear]  # the first is the projection, a dropout follows


@dataclass(frozen=True)
class LayerWeights:
    """Frozen weights with their LoRA added. Text and image share the frozen W and have a LoRA each, or the image has
    weights of its own."""

    heads: int
    key: Tensor  # (inner, context) of the text, or of the hidden states in a self-attention
    value: Tensor  # (inner, context)
    query: Tensor | None = None  # (inner, width); None: the frozen layer as it is
    output: Tensor | None = None  # (width, inner); None: the frozen layer as it is
    key_image: Tensor | None = None  # (inner, context)
    value_image: Tensor | None = None  # (inner, context)
    null_key: Tensor | None = None  # (inner,)
    output_bias: Tensor | None = None  # (width,) the frozen layer's own

    def to(self, device: torch.device) -> LayerWeights:
        """Return the same weights on a device."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {name: x.to(device) for name, x in values.items() if isinstance(x, Tensor)}
        return replace(self, **moved)


class OwnWeight(nn.Module):
    """A projection of the image's tokens by a trained weight of its own, in the place of a LoRA on the text's."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)

    @torch.no_grad()
    def start_from(self, weight: Tensor) -> None:
        """Copy the text's projection (outputs, inputs), with which training starts."""
        self.weight.copy_(weight)

    def add_to(self, weight: Tensor, scale: float = 1.0) -> Tensor:
        """Return the own weight, in the precision and place of the text's ``weight``; a LoRA's ``scale`` is none of
        its."""
        return self.weight.to(weight)


class LayerLoras(nn.Module):
    """Every trainable tensor of one attention layer.

    Args:
        layer: its shape.
        rank, alpha: of the LoRAs; rank 0 makes none.
        image: whether it has an image term.
        null_token: whether that has a null token.
        own_image_weights: the image term has weights of its own instead of LoRAs.
    """

    def __init__(
        self,
        layer: AttentionLayer,
        rank: int,
        alpha: float | None,
        image: bool = False,
        null_token: bool = False,
        own_image_weights: bool = False,
    ) -> None:
        super().__init__()

        def lora(inputs: int, outputs: int) -> Lora | None:
            return Lora(inputs, outputs, rank, alpha) if rank else None

        def image_projection() -> Lora | OwnWeight | None:
            if image and own_image_weights:
                return OwnWeight(layer.context, layer.inner)
            return lora(layer.context, layer.inner) if image else None

        self.heads = layer.heads
        self.query = lora(layer.width, layer.inner)
        self.key = lora(layer.context, layer.inner)
        self.value = lora(layer.context, layer.inner)
        self.output = lora(layer.inner, layer.width)
        self.key_image = image_projection()
        self.value_image = image_projection()
        self.null_key = nn.Parameter(torch.zeros(layer.inner)) if image and null_token else None

    def add_to(self, attention: FrozenAttention, scale: float = 1.0) -> LayerWeights:
        """Merge into the weights of ``attention``, which stays as it is; gradients reach both sides.

        Args:
            attention: the layer that this one belongs to.
            scale: multiplies every LoRA.
        """
        dtype = next(self.parameters()).dtype  # of weights that wait in 8 bits
        key, value = loaded_weight(attention.to_k, dtype), loaded_weight(attention.to_v, dtype)
        query, output, bias = self.query, self.output, attention.to_out[0].bias
        return LayerWeights(
            heads=self.heads,
            query=None if query is None else query.add_to(loaded_weight(attention.to_q, dtype), scale),
            key=key if self.key is None else self.key.add_to(key, scale),
            value=value if self.value is None else self.value.add_to(value, scale),
            output=None if output is None else output.add_to(loaded_weight(attention.to_out[0], dtype), scale),
            key_image=None if self.key_image is None else self.key_image.add_to(key, scale),
            value_image=None if self.value_image is None else self.value_image.add_to(value, scale),
            null_key=self.null_key,
            output_bias=None if bias is None else from_eight_bits(bias, dtype),
        )


def text_key_value(weights: LayerWeights, states: Tensor) -> KeyValue:
    """Return keys and values of the prompt. Args: states (B, T, D)."""
    states = states.to(weights.key.dtype)
    key = split_heads(F.linear(states, weights.key), weights.heads)  # (B, H, T, d)
    value = split_heads(F.linear(states, weights.value), weights.heads)
    return KeyValue(key, value)


def image_key_value(
    weights: LayerWeights, subjects: SubjectEmbeddings, scales: Tensor, full: bool = False
) -> KeyValue | None:
    """Return keys and values of the subjects, each value times its subject's scale; None without an image branch.

    Padding gets a bias of -inf and a zero value. A row without any photo gives exactly zero: with a null token all its
    attention goes there, else no bias is set (a softmax needs a token) and the zero values do the work.

    Args:
        weights: of the layer.
        subjects: of R rows.
        scales: (R, S) lambda per subject.
        full: nothing is padding, so that no bias is needed, which the fused kernels are quicker without.
    """
    if weights.key_image is None or weights.value_image is None or subjects.owners.shape[0] == 0:
        return None
    tokens, present = subjects.tokens.to(weights.key_image.dtype), subjects.present
    key = split_heads(F.linear(tokens, weights.key_image), weights.heads)  # (R, H, K, d)
    value = split_heads(F.linear(tokens, weights.value_image), weights.heads)
    gain = scales[:, subjects.owners] * present  # (R, K)
    weighed, full = subjects.weights, full and subjects.weights is None
    value = value * gain[:, None, :, None].to(value.dtype)
    if weights.null_key is None:
        return KeyValue(key, value, None if full else _bias(present | ~present.any(1, keepdim=True), key, weighed))
    null = torch.unflatten(weights.null_key.to(key.dtype), 0, (weights.heads, 1, -1))  # (H, 1, d)
    key = torch.cat([key, null.expand(key.shape[0], -1, -1, -1)], dim=2)  # (R, H, K+1, d)
    bias = None if full else _bias(F.pad(present, (0, 1), value=True), key, weighed)
    return KeyValue(key, F.pad(value, (0, 0, 0, 1)), bias)


def condition_layer(
    weights: LayerWeights,
    is_cross: bool,
    states: Tensor,
    subjects: SubjectEmbeddings | None,
    scales: Tensor,
    full: bool = False,
) -> LayerCondition:
    """Return what one layer needs of a request. Args as in :func:`image_key_value`; states (B, T, D)."""
    weights = weights.to(states.device)  # they may wait elsewhere
    if not is_cross:
        return LayerCondition(weights.query, weights.key, weights.value, weights.output, weights.output_bias)
    return LayerCondition(
        query=weights.query,
        output=weights.output,
        output_bias=weights.output_bias,
        text=text_key_value(weights, states),
        image=None if subjects is None else image_key_value(weights, subjects, scales, full),
    )


def _bias(visible: Tensor, like: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return -inf where a token is masked, else 0, plus the log of its weight, which multiplies its share.

    Args:
        visible: (B, tokens) bool.
        like: gives the precision.
        weights: (B, K) of the first K tokens, at least one of them above 0; None: 1.

    Returns:
        (B, 1, 1, tokens).
    """
    bias = torch.zeros_like(visible, dtype=like.dtype).masked_fill(~visible, float("-inf"))
    if weights is not None:
        bias = bias + F.pad(weights.log(), (0, bias.shape[1] - weights.shape[1])).to(bias)
    return bias[:, None, None, :]
