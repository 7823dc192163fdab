"""The maps of multimodal attention, computed beside its output: whose share of it is where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdiff_core.nn.gates import Gate
from mmdiff_core.nn.records import KeyValue, RecordedKeys
from mmdiff_core.nn.token_shares import attention_scores, other_word_maps, scaled, sum_owned, word_maps
from mmdiff_core.types import MapKind, Recording


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
                maps["image"] = sum_owned(softmax, keys.owned, recording.per_head)
            if recording.photo_tokens:
                groups = _token_groups(recording.photo_tokens, softmax)
                maps["photos"] = sum_owned(softmax, groups, recording.per_head)
            if "influence" in recording.kinds:
                maps["influence"] = influence_maps(softmax, keys, output, recording.per_head)
        return maps


def recorded_keys(text: KeyValue, image: KeyValue | None, words: Tensor, owned: Tensor, rows: int) -> RecordedKeys:
    """Return what maps need besides queries. Args as in :func:`multimodal_attention` and :class:`MapRequest`."""
    words, owned = words[-rows:], owned[-rows:]
    keys = RecordedKeys(scaled(text.key[-rows:]), words.clamp(min=0), (words >= 0).float(), owned)
    if image is None:
        return keys
    with torch.autocast(text.key.device.type, enabled=False):
        value = image.value[-rows:, :, : owned.shape[-1]].float()  # (R, H, K, d)
        same = (owned.mT @ owned)[:, None]  # (R, 1, K, K) 1 where two tokens are the same subject's
        return replace(keys, image=scaled(image.key[-rows:]), products=value @ value.mT * same)


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
    scores = attention_scores(query, keys.image)
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
        return sum_owned(softmax, keys.owned, per_head)
    squared = sum_owned(keys.products @ softmax * softmax, keys.owned, per_head, mean=False)
    part = torch.where(squared > 0, squared.clamp(min=1e-24).sqrt(), 0)  # at 0 a root has no gradient
    whole: Tensor = torch.linalg.vector_norm(output.float(), dim=-1 if per_head else (1, 3))  # (B, [H,] L)
    return part / whole.clamp(min=1e-6)[:, None]


def _token_groups(groups: Sequence[Sequence[int]], softmax: Tensor) -> Tensor:
    """Return 1 where a token is of a group, (1, groups, K), for a softmax (B, H, K, L); all 0 without tokens."""
    owned = softmax.new_zeros(1, len(groups), softmax.shape[2])
    for row, tokens in enumerate(groups if softmax.shape[2] else ()):
        owned[0, row, list(tokens)] = 1
    return owned
