"""The records that travel down the line, from a click to a picture and back.

Letters used in every shape of this package:

    B images of a batch     S subjects             P photos of a subject   N tokens per photo
    T text tokens           D cross-attention width H heads                L = h * w pixels of a layer
    K = S * P * N subject tokens                    M patches of a photo
    Dv width of the projected CLS                   Dh width of the patch tokens

All records are frozen: a request leaves nothing behind on a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from mmdiff_core.attention_maps import AttentionMaps

Stream = Literal["text", "image", "influence", "words"]
STREAMS: tuple[Stream, ...] = ("text", "image", "influence")  # of subjects; "words" is of the prompt's other words


# ---------------------------------------------------------------- what a person asks for

# A picture, or RGB pixels (3, h, w) in floating point, from 0, black, to 1. Pixels are neither rounded nor clamped nor
# padded; where the image encoder needs another size, they are resized by antialiased bilinear interpolation.
Photo = Image.Image | Tensor


@dataclass(frozen=True)
class Box:
    """A part of a picture, in fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Face:
    """A face as adapters of the face variant read it."""

    embedding: tuple[float, ...]  # 512 numbers of unit norm, by ArcFace
    crop: Photo  # the aligned face
    weight: float = 1.0  # beside the subject's other faces; 0 leaves it out


@dataclass(frozen=True)
class FaceChoice:
    """Which face of a photo is meant, and how much it counts where several are mixed into one subject."""

    face: int | None = None  # counted from 1, from the left; None: the largest
    weight: float = 1.0


@dataclass(frozen=True)
class Subject:
    """Somebody or something to depict: its words in the prompt, its photos, the weight of its image term.

    Adapters of the face variant, such as the official release, take the words' photo from the first of ``photos``
    and the identity from all ``faces``, which other adapters leave alone. Without ``faces`` they are found in the
    photos, one in each, as ``choices`` say (one per photo, or none at all: the largest).

    A ``region``, a box or a mask that is white where the subject may be, keeps its image term inside; a mask is
    stretched to the picture.
    """

    name: str
    photos: tuple[Photo, ...]
    strength: float = 1.0
    faces: tuple[Face, ...] = ()
    choices: tuple[FaceChoice, ...] = ()
    region: Box | Image.Image | None = None


@dataclass(frozen=True)
class Recording:
    """Which attention maps to keep. ``per_head`` keeps the heads apart, else they are averaged.

    ``words`` asks for the text maps of all words of the prompt that no subject owns, too; planning a request puts
    their text tokens into ``tokens``.
    """

    streams: tuple[Stream, ...] = STREAMS
    per_head: bool = False
    words: bool = False
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Parts:
    """Which parts of the method are on. A part that the adapter was made without stays off.

    ``refiner`` and ``null_token`` belong to the image branch and say nothing without it.
    """

    vision_text: bool = True  # photos fused into the subjects' words (section 3.2)
    refiner: bool = True  # SE-Refiner; without it the subject tokens are its input s0
    image_branch: bool = True  # image term of the cross-attention (section 3.3)
    null_token: bool = True  # "no subject here" in the softmax of the image term

    @property
    def see_photos(self) -> bool:
        """Whether a photo enters at all. If not, the LoRAs are off as well, and the picture is the base model's."""
        return self.vision_text or self.image_branch


ALL_PARTS = Parts()


@dataclass(frozen=True)
class GenerateRequest:
    """One validated request. ``None`` stands for the backbone's own default.

    ``start_step`` is the paper's delayed merging (section 3.4): that many first steps see the plain text only.
    One picture is made per entry of ``seeds``. ``parts`` switches parts of the method off, to see what each does.
    ``binding``, from 0 (off) to 1, keeps each subject's image term where the picture attends to the subject's own
    word; it helps weights that were trained without constraints to keep several subjects apart. ``sampler`` is one of
    the backbone's ``samplers``.
    """

    prompt: str
    subjects: tuple[Subject, ...] = ()
    negative_prompt: str | None = ""  # None is no negative prompt, as "" is
    seeds: tuple[int, ...] = (0,)
    steps: int | None = None
    guidance: float | None = None
    start_step: int | None = None
    width: int | None = None
    height: int | None = None
    recording: Recording | None = field(default_factory=Recording)
    parts: Parts = ALL_PARTS
    binding: float = 0.0
    sampler: str | None = None


# ---------------------------------------------------------------- what a person gets


@dataclass(frozen=True)
class Word:
    """The part of the prompt that stands for a subject: characters ``[start, end)`` of the cleaned prompt."""

    subject: int
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Picture:
    """A finished picture with its maps and everything needed to make it again."""

    image: Image.Image
    seed: int
    maps: AttentionMaps | None
    words: tuple[Word, ...]
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Step:
    """One step of one picture. ``picture`` is set at a picture's last step; ``result`` at the very last step."""

    picture_index: int
    picture_count: int
    step: int  # 1 .. steps
    steps: int
    preview: Image.Image
    maps: AttentionMaps | None
    picture: Picture | None = None
    result: tuple[Picture, ...] | None = None


# ---------------------------------------------------------------- what the model sees


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


@dataclass(frozen=True)
class PromptTokens:
    """A batch of prompts for one text encoder, with the place of each subject's word."""

    ids: Tensor  # (B, T) long
    words: Tensor  # (B, S) long, index of the last token of the subject's word; -1 where the prompt has none


@dataclass(frozen=True)
class TextStates:
    """Encoded prompts. ``pooled`` is what SDXL adds to the time embedding, None elsewhere."""

    states: Tensor  # (B, T, D)
    pooled: Tensor | None = None  # (B, Dp)


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one stream, heads apart. Of an image stream B may be the guided rows alone."""

    key: Tensor  # (B, H, tokens, D/H)
    value: Tensor  # (B, H, tokens, D/H)
    bias: Tensor | None = None  # (B, 1, 1, tokens) additive, -inf at padding


@dataclass(frozen=True)
class WatchedKeys:
    """What recording needs of the keys and values of a layer, of the R guided rows, in float32."""

    text: Tensor  # (R, H, T, d) keys over sqrt(d)
    columns: Tensor  # (R, S) long, text token of each subject's word; 0 where it has none
    named: Tensor  # (R, S) 1 where a subject has a word, else 0
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
    image: KeyValue | None = None  # of the guided rows; strengths are already in the values; None: no image term
    watched: WatchedKeys | None = None  # for recording; None: made in every step that is recorded


@dataclass(frozen=True)
class Condition:
    """One frozen record of everything that conditions a denoising step, both guidance halves in one batch.

    With guidance the batch is [unguided, guided] and ``guided`` selects the second half; the unguided half has
    plain negative text and zero strength, so that no photo enters it.
    """

    text: TextStates
    subjects: SubjectEmbeddings | None
    words: Tensor  # (B, S) index of each subject's word in T; -1: none
    strengths: Tensor  # (B, S)
    guided: Tensor  # (B,) bool, on the host so that asking it never waits for a GPU; the guided rows come last
    layers: Mapping[str, LayerCondition] = field(default_factory=dict)
    added: Mapping[str, Tensor] = field(default_factory=dict)  # SDXL's text_embeds and time_ids
    binding: float = 0.0  # see GenerateRequest
    regions: Tensor | None = None  # (B, S, h, w) in [0, 1] at the size of the latents: where each subject may be

    def with_layers(self, layers: Mapping[str, LayerCondition]) -> Condition:
        """The same condition with keys and values computed."""
        return replace(self, layers=layers)

    @cached_property
    def guided_rows(self) -> int:
        """How many rows are guided."""
        return int(self.guided.sum())

    @cached_property
    def owned(self) -> Tensor:
        """1 where an image token is a photo of the subject, else 0: float32 (B, S, K); K = 0 without subjects."""
        if self.subjects is None:
            return self.words.new_zeros(*self.words.shape, 0, dtype=torch.float32)
        owners, present = self.subjects.owners, self.subjects.present
        subjects = torch.arange(self.words.shape[1], device=owners.device)
        return ((owners == subjects[:, None]) & present[:, None, :]).float()


@dataclass(frozen=True)
class LayerMaps:
    """What one cross-attention layer did in one forward; h and w are carried, never guessed.

    Each stream is (B, S, h, w), or (B, S, H, h, w) with heads kept; streams that were not asked for are absent. In
    ``words`` the prompt's other words stand in the place of the subjects.
    """

    layer: str
    size: tuple[int, int]
    streams: Mapping[Stream, Tensor]


@dataclass(frozen=True)
class Size:
    """The sizes in pixels that a model can make."""

    default: tuple[int, int]  # (width, height)
    smallest: int
    largest: int
    multiple: int
