"""What the networks take and give, as frozen records of tensors. The letters of the shapes are those of ``types``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from mmdiff_core.types import MapKind


@dataclass(frozen=True)
class ImageFeatures:
    """What the image encoder saw in the photos of a batch, padded to the same S and P."""

    cls: Tensor  # (B, S, P, Dv) projected CLS
    patches: Tensor  # (B, S, P, M, Dh) penultimate patch tokens
    present: Tensor  # (B, S, P) bool, False where a photo is only padding


@dataclass(frozen=True)
class SubjectEmbeddings:
    """Subjects as the diffusion model takes them."""

    words: tuple[Tensor, ...]  # one (B, S, width of the text encoder) per text encoder: g(c), CLS averaged over P
    tokens: Tensor  # (B, K, D) refined subject embeddings
    owners: Tensor  # (K,) long, the subject each token belongs to
    present: Tensor  # (B, K) bool
    weights: Tensor | None = None  # (B, K) how much a token counts beside others of its subject; None: all alike
    blank: Tensor | None = None  # (B, K, D) what the unconditional half sees in their place; None: no image term


@dataclass(frozen=True)
class TokenWeight:
    """Tokens in a row that count more or less than others."""

    tokens: tuple[int, ...]  # places in T
    weight: float


@dataclass(frozen=True)
class PromptTokens:
    """A batch of prompts for one text encoder, with the place of each subject's word.

    T is the length that the encoder reads at a time, or a multiple of it, for long prompts.
    """

    ids: Tensor  # (B, T) long
    words: Tensor  # (B, S) long, index of the last token of the subject's word; -1 where the prompt has none
    pieces: Tensor | None = None  # (B, S, W) long, all tokens of those words, -1 at padding; None: the last one alone
    blank: Tensor | None = None  # (1, length of the encoder) a text without words
    weighted: tuple[TokenWeight, ...] = ()  # of a single prompt


@dataclass(frozen=True)
class TextStates:
    """Encoded prompts. ``pooled`` is what SDXL adds to the time embedding, None elsewhere."""

    states: Tensor  # (B, T, D)
    pooled: Tensor | None = None  # (B, Dp)


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of the text or the image term, heads apart; in the latter B may be the conditional rows alone."""

    key: Tensor  # (B, H, tokens, D/H)
    value: Tensor  # (B, H, tokens, D/H)
    bias: Tensor | None = None  # (B, 1, 1, tokens) additive, -inf at padding


@dataclass(frozen=True)
class RecordedKeys:
    """What recording needs of the keys and values of a layer, of the R conditional rows, in float32."""

    text: Tensor  # (R, H, T, d) keys over sqrt(d)
    columns: Tensor  # (R, S, W) long, text tokens of each subject's word; 0 where it has none
    named: Tensor  # (R, S, W) 1 where there is such a token, else 0
    owned: Tensor  # (R, S, K) 1 where an image token is a photo of the subject, else 0
    image: Tensor | None = None  # (R, H, K [+ 1], d) keys over sqrt(d); None: no image term
    products: Tensor | None = None  # (R, H, K, K) of the values with each other, 0 between two subjects


@dataclass(frozen=True)
class LayerCondition:
    """Everything of a request that one attention layer needs; computed once per generation.

    ``query``, ``output`` (and ``key``, ``value`` of a self-attention) are the frozen weights with their LoRA added,
    None where the layer has no LoRA there. Self-attention layers have neither ``text`` nor ``image``.
    """

    query: Tensor | None = None  # (inner, width)
    key: Tensor | None = None
    value: Tensor | None = None
    output: Tensor | None = None  # (width, inner)
    output_bias: Tensor | None = None  # (width,)
    text: KeyValue | None = None
    # Of the conditional rows, or of all where the unconditional ones see blank photos; scales are in the values
    # already; None: no image term.
    image: KeyValue | None = None
    recorded_keys: RecordedKeys | None = None  # for recording; None: made in every step that is recorded


@dataclass(frozen=True)
class Condition:
    """One frozen record of everything that conditions a denoising step, both guidance halves in one batch.

    With guidance the batch is [unconditional, conditional] and ``conditional`` selects the second half. The
    unconditional half has plain negative text and scales of zero, so that no photo enters it; or, with an adapter that
    was trained so, the tokens of a blank photo.
    """

    text: TextStates
    subjects: SubjectEmbeddings | None
    words: Tensor  # (B, S) index of the last token of each subject's word in T; -1: none
    scales: Tensor  # (B, S)
    conditional: Tensor  # (B,) bool, on the host so that reading it never waits for a GPU; conditional rows last
    layers: Mapping[str, LayerCondition] = field(default_factory=dict)
    added: Mapping[str, Tensor] = field(default_factory=dict)  # SDXL's text_embeds and time_ids
    word_gating: float = 0.0  # see GenerateRequest
    regions: Tensor | None = None  # (B, S, h, w) in [0, 1] at the size of the latents: where each subject may be
    pieces: Tensor | None = None  # (B, S, W) all tokens of each word, which its maps are of; -1 at padding

    @property
    def map_words(self) -> Tensor:
        """Return the tokens whose maps are each subject's, (B, S, W); -1: none."""
        return self.words[..., None] if self.pieces is None else self.pieces

    def with_layers(self, layers: Mapping[str, LayerCondition]) -> Condition:
        """Return this condition with keys and values computed."""
        return replace(self, layers=layers)

    @cached_property
    def conditional_rows(self) -> int:
        """Return the number of conditional rows."""
        return int(self.conditional.sum())

    @cached_property
    def owned(self) -> Tensor:
        """Return 1 where an image token is of the subject, else 0: float32 (B, S, K); K = 0 without subjects."""
        if self.subjects is None:
            return self.words.new_zeros(*self.words.shape, 0, dtype=torch.float32)
        owners, present = self.subjects.owners, self.subjects.present
        subjects = torch.arange(self.words.shape[1], device=owners.device)
        return ((owners == subjects[:, None]) & present[:, None, :]).float()


@dataclass(frozen=True)
class LayerMaps:
    """What one cross-attention layer did in one forward; h and w are carried, never guessed.

    Each map is (R, S, h, w) of the R conditional rows, or (R, S, H, h, w) with heads kept; kinds that were not recorded
    are absent. In ``words`` the prompt's other words take the place of the subjects.
    """

    layer: str
    size: tuple[int, int]
    kinds: Mapping[MapKind, Tensor]
