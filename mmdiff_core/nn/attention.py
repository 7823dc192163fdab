"""Multimodal cross-attention (section 3.3) and its maps: pure functions of queries, keys and values.

The hidden states are attended to by two decoupled softmaxes that share one query::

    out = softmax(Q Kt^T / sqrt(d)) Vt + softmax(Q Ki^T / sqrt(d)) (lambda Vi)

with text keys and values ``Kt, Vt`` and subject keys and values ``Ki, Vi``; lambda, a strength per subject, is already
in the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdiff_core.types import KeyValue, Recording, Stream

SHARPNESS = 8


@dataclass(frozen=True)
class Watch:
    """Whose attention to record, and how."""

    words: Tensor  # (B, S) text token of each subject's word; -1: none
    owners: Tensor  # (K,) subject of each image token
    present: Tensor  # (B, K) bool, image tokens that stand for a photo
    guided: Tensor  # (B,) bool, rows to record; the others' maps are zero
    recording: Recording


@dataclass(frozen=True)
class Gate:
    """Where in a layer each subject may be. Subjects compete for a pixel by their gates, and the widest gate there
    is what is left of the image term; so one subject alone is simply weighted, and of two only the one inside counts.
    """

    gates: Tensor  # (B, S, L) in [0, 1], float32
    owners: Tensor  # (K,) subject of each image token

    @property
    def total(self) -> Tensor:
        """What is left of the image term, (B, 1, L, 1)."""
        return self.gates.amax(1)[:, None, :, None]

    def close(self, image: KeyValue) -> KeyValue:
        """The image stream with the gates in its bias, (B, 1, L, tokens); a null token stays as it is."""
        bias = self.gates.log().movedim(1, -1)[..., self.owners]  # (B, L, K), -inf where closed
        bias = F.pad(bias, (0, image.key.shape[2] - bias.shape[-1]))[:, None]  # (B, 1, L, tokens)
        bias = bias if image.bias is None else bias + image.bias.float()
        nobody = torch.isinf(bias).all(-1, keepdim=True)  # a softmax needs a token; `total` or the values are 0
        return replace(image, bias=bias.masked_fill(nobody, 0).to(image.key.dtype))


@dataclass(frozen=True)
class Attended:
    """What multimodal attention gives: the values seen by each pixel and, if watched, who was looked at."""

    output: Tensor  # (B, H, L, d)
    maps: Mapping[Stream, Tensor] | None = None  # float32 (B, S, L), or (B, S, H, L) with heads kept


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, tokens, H*d) -> (B, H, tokens, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, tokens, d) -> (B, tokens, H*d)."""
    return x.transpose(1, 2).flatten(2)


def attend(query: Tensor, stream: KeyValue) -> Tensor:
    """Softmax attention by torch's fused kernels. Args: query (B, H, L, d). Returns (B, H, L, d)."""
    return F.scaled_dot_product_attention(query, stream.key, stream.value, attn_mask=stream.bias)


def multimodal_attention(
    query: Tensor, text: KeyValue, image: KeyValue | None, watch: Watch | None, gate: Gate | None = None
) -> Attended:
    """Text attention plus subject attention (eq. 4 of the paper, lambda inside the image values).

    Args:
        query: (B, H, L, d).
        text: keys and values of T text tokens.
        image: keys and values of K subject tokens and, after them, perhaps of a null token; None: no image term.
        watch: what to record; None leaves the fused kernels alone. The output is the same either way.
        gate: where each subject may be; None: everywhere.
    """
    output = attend(query, text)
    if image is not None:
        if gate is not None:
            image = gate.close(image)
        part = attend(query, image)
        output = output + (part if gate is None else part * gate.total.to(part.dtype))
    maps = None if watch is None else attention_maps(query, text, image, output, watch, gate)
    return Attended(output, maps)


def attention_maps(
    query: Tensor, text: KeyValue, image: KeyValue | None, output: Tensor, watch: Watch, gate: Gate | None = None
) -> dict[Stream, Tensor]:
    """The maps that ``watch`` asks for, in float32 even under autocast; they carry gradients.

    ``text`` is the column of the subject's word in the text softmax, ``image`` the sum over the subject's tokens of
    the image softmax, ``influence`` the norm of the subject's part of the attention output over the norm of the whole
    output; ``words`` is ``text`` of the prompt's other words. What a row has no word or token for, is zero.
    """
    recording = watch.recording
    maps: dict[Stream, Tensor] = {}
    with torch.autocast(query.device.type, enabled=False):
        if "text" in recording.streams:
            maps["text"] = word_maps(query, text, watch.words)
        if recording.tokens:
            others = torch.tensor(recording.tokens, device=watch.words.device)
            maps["words"] = word_maps(query, text, others.expand(len(query), -1))
        if "image" in recording.streams or "influence" in recording.streams:
            softmax = image_softmax(query, image, watch.owners.shape[0])  # (B, H, L, K)
            softmax = softmax if gate is None else softmax * gate.total
            owned = token_owners(watch)  # (B, S, K)
            if "image" in recording.streams:
                maps["image"] = (softmax @ owned[:, None].transpose(-1, -2)).movedim(-1, 1)  # (B, S, H, L)
            if "influence" in recording.streams:
                parts = subject_parts(softmax, owned, image)  # (B, S, H, L, d)
                maps["influence"] = influence_maps(parts, output, recording.per_head)
        return {stream: _finish(x, watch) for stream, x in maps.items()}


def word_maps(query: Tensor, text: KeyValue, words: Tensor) -> Tensor:
    """Text softmax at the subjects' words alone. Args: words (B, S). Returns (B, S, H, L)."""
    scores = _scores(query, text)  # (B, H, L, T)
    columns = words.clamp(min=0)[:, None, None, :].expand(*scores.shape[:-1], -1)  # (B, H, L, S)
    chosen = (scores.gather(-1, columns) - scores.logsumexp(-1, keepdim=True)).exp()
    return (chosen * (words >= 0)[:, None, None, :]).movedim(-1, 1)


def word_gates(query: Tensor, text: KeyValue, words: Tensor, binding: float) -> Tensor:
    """Gates (B, S, L) from the text maps of the subjects' own words, sharpened; 1 for a subject without a word.

    A word's map relative to its peak, times how it stands beside the strongest other subject's at that pixel, to the
    power ``SHARPNESS``. Computed from this layer's query alone, so that nothing is carried from step to step.

    Args:
        query: (B, H, L, d).
        text: keys of the prompt.
        words: (B, S).
        binding: from 0, all gates open, to 1.
    """
    maps = word_maps(query, text, words).mean(2)  # (B, S, L)
    maps = maps / maps.amax(-1, keepdim=True).clamp(min=1e-8)
    sharp = maps * (maps / maps.amax(1, keepdim=True).clamp(min=1e-8)) ** SHARPNESS
    return torch.where((words >= 0)[..., None], 1 - binding + binding * sharp, 1.0)


def region_gates(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Gates (B, S, L) of a layer of a size (h, w) from regions (B, S, H, W): the share of a pixel that is inside."""
    return F.adaptive_avg_pool2d(regions.float(), size).flatten(2)


def image_softmax(query: Tensor, image: KeyValue | None, tokens: int) -> Tensor:
    """Softmax over the subject tokens, (B, H, L, K); a null token takes its share and is left out."""
    if image is None:
        return query.new_zeros(*query.shape[:-1], tokens, dtype=torch.float32)
    return _scores(query, image).softmax(-1)[..., :tokens]


def token_owners(watch: Watch) -> Tensor:
    """1 where an image token is a photo of the subject, else 0: (B, S, K)."""
    subjects = torch.arange(watch.words.shape[1], device=watch.owners.device)
    return ((watch.owners == subjects[:, None]) & watch.present[:, None, :]).float()


def subject_parts(softmax: Tensor, owned: Tensor, image: KeyValue | None) -> Tensor:
    """What each subject adds to the attention output, (B, S, H, L, d)."""
    if image is None:
        return softmax.new_zeros(owned.shape[0], owned.shape[1], *softmax.shape[1:3], 1)
    value = image.value.float()[:, None, :, : owned.shape[-1]]  # (B, 1, H, K, d)
    return softmax[:, None] @ (value * owned[:, :, None, :, None])


def influence_maps(parts: Tensor, output: Tensor, per_head: bool) -> Tensor:
    """Norm of a subject's part of the output over the norm of the output.

    Norms run over the channels of all heads, (B, S, 1, L), or of each head, (B, S, H, L). The parts of several
    subjects and of the text can cancel each other, so an influence is not bounded by 1.
    """
    channels = (-1,) if per_head else (2, -1)
    part = torch.linalg.vector_norm(parts, dim=channels, keepdim=True)  # (B, S, 1|H, L, 1)
    whole = torch.linalg.vector_norm(output.float()[:, None], dim=channels, keepdim=True)  # (B, 1, 1|H, L, 1)
    return (part / whole.clamp(min=1e-6)).squeeze(-1)


def _scores(query: Tensor, stream: KeyValue) -> Tensor:
    """Q K^T / sqrt(d) + bias in float32, (B, H, L, tokens)."""
    scores = (query.float() * query.shape[-1] ** -0.5) @ stream.key.float().transpose(-1, -2)
    return scores if stream.bias is None else scores + stream.bias.float()


def _finish(maps: Tensor, watch: Watch) -> Tensor:
    """Blank the unguided rows, average the heads unless they are asked for. (B, S, H, L) -> (B, S, [H,] L)."""
    maps = maps * watch.guided[:, None, None, None]
    return maps if watch.recording.per_head else maps.mean(2)
