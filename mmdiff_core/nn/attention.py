"""Multimodal cross-attention (section 3.3) and its maps: pure functions of queries, keys and values.

The hidden states are attended to by two decoupled softmaxes that share one query::

    out = softmax(Q Kt^T / sqrt(d)) Vt + softmax(Q Ki^T / sqrt(d)) (lambda Vi)

with text keys and values ``Kt, Vt`` and subject keys and values ``Ki, Vi``; lambda, a scale per subject, is already
in the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmdiff_core.nn.records import KeyValue, RecordedKeys
from mmdiff_core.types import MapKind, Recording

SHARPNESS = 8


@dataclass(frozen=True)
class MapRequest:
    """Whose attention to record, and how.

    Only the last ``rows`` rows of a batch are recorded, the conditional ones.
    """

    words: Tensor  # (B, S, W) text tokens of each subject's word; -1: none
    owned: Tensor  # (B, S, K) float32, 1 where an image token is a photo of the subject; see Condition.owned
    rows: int
    recording: Recording
    keys: RecordedKeys | None = None  # of :func:`recorded_keys`, where they were made before
    shared_scores: bool = False  # take output and maps from one softmax, in the precision of the query

    @property
    def shareable(self) -> bool:
        """Whether the output's own softmax gives all these maps: text and image maps, averaged over the heads."""
        recording = self.recording
        more = recording.per_head or recording.tokens or recording.photo_tokens
        return not more and {"text", "image"}.issuperset(recording.kinds)


@dataclass(frozen=True)
class Gate:
    """Where in a layer each subject may be. Subjects compete for a pixel by their gates, and the widest gate there
    is what is left of the image term; so one subject alone is simply weighted, and of two only the one inside counts.
    """

    gates: Tensor  # (R, S, L) in [0, 1], float32, of the rows that have an image term
    owners: Tensor  # (K,) subject of each image token

    @property
    def total(self) -> Tensor:
        """Return the share of the image term that the gates leave, (R, 1, L, 1)."""
        return self.gates.amax(1)[:, None, :, None]

    def close(self, image: KeyValue) -> KeyValue:
        """Return the image keys and values with the gates in their bias, (R, 1, L, tokens), except a null token's."""
        bias = self.gates.log().movedim(1, -1)[..., self.owners]  # (R, L, K), -inf where closed
        bias = F.pad(bias, (0, image.key.shape[2] - bias.shape[-1]))[:, None]  # (R, 1, L, tokens)
        bias = bias if image.bias is None else bias + image.bias.float()
        nobody = torch.isinf(bias).all(-1, keepdim=True)  # a softmax needs a token; `total` or the values are 0
        return replace(image, bias=bias.masked_fill(nobody, 0).to(image.key.dtype))


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


def attention_maps(
    query: Tensor, text: KeyValue, image: KeyValue | None, output: Tensor, request: MapRequest, gate: Gate | None = None
) -> dict[MapKind, Tensor]:
    """Return the maps that ``request`` names, in float32 even under autocast; they carry gradients.

    ``text`` is the subject's word's share of the text softmax, ``image`` the sum over the subject's tokens of
    the image softmax, ``influence`` the norm of the subject's part of the attention output over the norm of the whole
    output; ``words`` is ``text`` of the prompt's other words, ``photos`` is ``image`` of single photos or tokens. What
    a row has no word or token for, is zero. Args as in :func:`multimodal_attention`, whose ``output`` this stands
    beside: nothing of it is computed again but the scores, which no fused kernel hands out.

    Everything here has its pixels last, which is several times as fast as tokens last: there are few tokens.
    """
    recording, rows = request.recording, request.rows
    query, output = query[-rows:], output[-rows:]
    maps: dict[MapKind, Tensor] = {}
    with torch.autocast(query.device.type, enabled=False):
        keys = request.keys or recorded_keys(text, image, request.words, request.owned, rows)
        if "text" in recording.kinds:
            maps["text"] = word_maps(query, keys.text, keys.columns, keys.named, recording.per_head)
        if recording.tokens:
            maps["words"] = other_word_maps(query, keys.text, recording)
        if "image" in recording.kinds or "influence" in recording.kinds or recording.photo_tokens:
            softmax = image_softmax(query, keys, None if image is None else image.bias)  # (B, H, K, L)
            softmax = softmax if gate is None else softmax * gate.total[-rows:].mT
            if "image" in recording.kinds:
                maps["image"] = _sum_owned(softmax, keys.owned, recording.per_head)
            if recording.photo_tokens:
                groups = _token_groups(recording.photo_tokens, softmax)
                maps["photos"] = _sum_owned(softmax, groups, recording.per_head)
            if "influence" in recording.kinds:
                maps["influence"] = influence_maps(softmax, keys, output, recording.per_head)
        return maps


def recorded_keys(text: KeyValue, image: KeyValue | None, words: Tensor, owned: Tensor, rows: int) -> RecordedKeys:
    """Return what maps need besides queries. Args as in :func:`multimodal_attention` and :class:`MapRequest`."""
    words, owned = words[-rows:], owned[-rows:]
    keys = RecordedKeys(_scaled(text.key[-rows:]), words.clamp(min=0), (words >= 0).float(), owned)
    if image is None:
        return keys
    with torch.autocast(text.key.device.type, enabled=False):
        value = image.value[-rows:, :, : owned.shape[-1]].float()  # (R, H, K, d)
        same = (owned.mT @ owned)[:, None]  # (R, 1, K, K) 1 where two tokens are the same subject's
        return replace(keys, image=_scaled(image.key[-rows:]), products=value @ value.mT * same)


def word_maps(query: Tensor, key: Tensor, columns: Tensor, named: Tensor, per_head: bool = False) -> Tensor:
    """Return the text softmax at subjects' words, (B, S, L), or (B, S, H, L) with heads; args as in RecordedKeys.

    A word of several tokens has the sum of their shares.
    """
    softmax = _scores(query, key).softmax(2)  # (B, H, T, L): a column is a share of them all
    index = columns.flatten(1)[:, None, :, None].expand(-1, softmax.shape[1], -1, softmax.shape[3])
    chosen: Tensor = torch.unflatten(softmax.gather(2, index), 2, columns.shape[1:])  # (B, H, S, W, L)
    if per_head:
        return (chosen.movedim(1, 3) * named[..., None, None]).sum(2)
    return (chosen.mean(1) * named[..., None]).sum(2)


def token_maps(
    query: Tensor, key: Tensor, groups: Tensor, concepts: Sequence[Tensor] = (), per_head: bool = False
) -> Tensor:
    """Return the text softmax summed over groups of tokens, and concepts' shares: (B, G + C, [H,] L).

    A concept is a word that is not in the text. It joins the softmax of each pixel by itself, so that neither the
    groups nor the other concepts change: with s the scores, its share is the sum of exp(s) over its own tokens, over
    that sum and the text's.

    Args:
        query: (B, H, L, d).
        key: (B, H, T, d), not scaled.
        groups: (B, G, T) float32, 1 where a token is of the group; groups without a gap give shares that sum to 1.
        concepts: for each concept the keys of its tokens, (B or 1, H, tokens, d), not scaled.
        per_head: keep the heads apart; else they are averaged.
    """
    with torch.autocast(query.device.type, enabled=False):
        scores = _scores(query, _scaled(key))  # (B, H, T, L)
        shares = _sum_owned(scores.softmax(2), groups, per_head)
        if not concepts:
            return shares
        text = scores.logsumexp(2)  # (B, H, L)
        own = [_scores(query, _scaled(each)).logsumexp(2) for each in concepts]
        found = torch.sigmoid(torch.stack(own, dim=1) - text[:, None])  # (B, C, H, L)
        return torch.cat([shares, found if per_head else found.mean(2)], dim=1)


def pixel_maps(query: Tensor, key: Tensor) -> Tensor:
    """Return how much each pixel attends to each other in a self-attention, mean of heads: (B, L, L), rows sum to 1.

    Head by head, since all at once take too much memory. Args: query, key (B, H, L, d), the key not scaled.
    """
    with torch.autocast(query.device.type, enabled=False):
        key = _scaled(key)
        total = query.new_zeros(len(query), query.shape[2], key.shape[2], dtype=torch.float32)
        for head in range(query.shape[1]):
            total += (query[:, head].float() @ key[:, head].mT).softmax(-1)
        return total / query.shape[1]


def other_word_maps(query: Tensor, key: Tensor, recording: Recording) -> Tensor:
    """Return the text softmax at words of no subject, which take the subjects' place; every row has all of them."""
    tokens = pad_sequence([torch.tensor(word) for word in recording.tokens], batch_first=True, padding_value=-1)
    columns = tokens.to(query.device).expand(len(query), -1, -1)  # (B, S, W)
    return word_maps(query, key, columns.clamp(min=0), (columns >= 0).float(), recording.per_head)


def word_gates(query: Tensor, text: KeyValue, words: Tensor, word_gating: float) -> Tensor:
    """Return gates (B, S, L) from sharpened text maps of the subjects' words; 1 for a subject without a word.

    A word's map relative to its peak, times how it stands beside the strongest other subject's at that pixel, to the
    power ``SHARPNESS``. Computed from this layer's query alone, so that nothing is carried from step to step.

    Args:
        query: (B, H, L, d).
        text: keys of the prompt.
        words: (B, S) the last token of each word, as the photos are fused there.
        word_gating: from 0, all gates open, to 1.
    """
    last = words[..., None]
    maps = word_maps(query, _scaled(text.key), last.clamp(min=0), (last >= 0).float())  # (B, S, L)
    maps = maps / maps.amax(-1, keepdim=True).clamp(min=1e-8)
    sharp = maps * (maps / maps.amax(1, keepdim=True).clamp(min=1e-8)) ** SHARPNESS
    return torch.where((words >= 0)[..., None], 1 - word_gating + word_gating * sharp, 1.0)


def region_gates(regions: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a layer's gates (B, S, L) from regions (B, S, H, W): the share of each pixel that is inside."""
    return F.adaptive_avg_pool2d(regions.float(), size).flatten(2)


def image_softmax(query: Tensor, keys: RecordedKeys, bias: Tensor | None) -> Tensor:
    """Return the softmax over the subject tokens, (B, H, K, L); a null token takes its share and is left out.

    Args:
        query: (B, H, L, d).
        keys: None for the image gives zeros.
        bias: (B or more, 1, 1 or L, tokens), what is added to the scores.
    """
    tokens = keys.owned.shape[-1]
    if keys.image is None:
        batch, heads, pixels, _ = query.shape
        return query.new_zeros(batch, heads, tokens, pixels, dtype=torch.float32)
    scores = _scores(query, keys.image)
    if bias is not None:
        scores = scores + bias[-len(query) :].float().mT
    return scores.softmax(2)[:, :, :tokens]


def influence_maps(softmax: Tensor, keys: RecordedKeys, output: Tensor, per_head: bool) -> Tensor:
    """Return the norm of a subject's part of the output over the norm of the output (B, H, L, d).

    Norms run over the channels of all heads, (B, S, L), or of each head, (B, S, H, L). The parts of several subjects
    and of the text can cancel each other, so an influence is not bounded by 1.

    A part is never made: with p the softmax at a subject's tokens and V their values, its squared norm is p V Vt pt,
    and V Vt is small.
    """
    if keys.products is None:
        return _sum_owned(softmax, keys.owned, per_head)
    squared = _sum_owned(keys.products @ softmax * softmax, keys.owned, per_head, mean=False)
    part = torch.where(squared > 0, squared.clamp(min=1e-24).sqrt(), 0)  # at 0 a root has no gradient
    whole: Tensor = torch.linalg.vector_norm(output.float(), dim=-1 if per_head else (1, 3))  # (B, [H,] L)
    return part / whole.clamp(min=1e-6)[:, None]


def _sum_owned(shares: Tensor, owned: Tensor, per_head: bool, mean: bool = True) -> Tensor:
    """Sum values (B, H, K, L) over each subject's tokens: (B, S, H, L), or with heads averaged or summed."""
    if per_head:
        return (owned[:, None] @ shares).movedim(1, 2)
    return owned @ (shares.mean(1) if mean else shares.sum(1))


def _token_groups(groups: Sequence[Sequence[int]], softmax: Tensor) -> Tensor:
    """Return 1 where a token is of a group, (1, groups, K), for a softmax (B, H, K, L); all 0 without tokens."""
    owned = softmax.new_zeros(1, len(groups), softmax.shape[2])
    for row, tokens in enumerate(groups if softmax.shape[2] else ()):
        owned[0, row, list(tokens)] = 1
    return owned


def _scaled(key: Tensor) -> Tensor:
    """Return keys over sqrt(d), in float32: there are fewer keys than queries."""
    scale: float = key.shape[-1] ** -0.5
    return key.float() * scale


def _scores(query: Tensor, key: Tensor) -> Tensor:
    """Return (Q K^T)^T in float32, (B, H, tokens, L), of keys that are already scaled."""
    return key @ query.float().mT
