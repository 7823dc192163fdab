"""The records of a request and of its results.

Letters used in every shape of this package:

    B images of a batch     S subjects             P photos of a subject   N tokens per photo
    T text tokens           D cross-attention width H heads                L = h * w pixels of a layer
    K = S * P * N subject tokens                    M patches of a photo
    Dv width of the projected CLS                   Dh width of the patch tokens

All records are frozen: a request leaves nothing behind on a module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from PIL import Image
from torch import Tensor

from mmdiff_core.deprecation import renamed_arguments, warn_renamed

MapKind = Literal["text", "image", "influence", "words", "photos"]
# Of subjects; "words" is of the prompt's other words, "photos" of single photos or their tokens.
MAP_KINDS: tuple[MapKind, ...] = ("text", "image", "influence")


# The highest values of a request; the lowest are 1 step, and 0 of the others.
MAX_STEPS = 200
MAX_GUIDANCE = 30
MAX_SCALE = 3
MAX_SEED = 2**64 - 1  # what torch takes, and what other programs draw

# ---------------------------------------------------------------- what a person asks for

# An image, or RGB pixels (3, h, w) in floating point, from 0, black, to 1. Pixels are neither rounded nor clamped nor
# padded; where the image encoder needs another size, they are resized by antialiased bilinear interpolation.
Photo = Image.Image | Tensor


@dataclass(frozen=True)
class Box:
    """A part of an image, in fractions of its width and height."""

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


@renamed_arguments(strength="scale")
@dataclass(frozen=True)
class Subject:
    """A person or thing to depict: its words in the prompt, its photos, the weight of its image term.

    Adapters of the face variant, such as the official release, take the words' photo from the first of ``photos``
    and the identity from all ``faces``, which other adapters leave alone. Without ``faces`` they are found in the
    photos, one in each, as ``choices`` say (one per photo, or none at all: the largest).

    A ``region``, a box or a mask that is white where the subject may be, keeps its image term inside; a mask is
    stretched to the image.
    """

    name: str
    photos: tuple[Photo, ...]
    scale: float = 1.0
    faces: tuple[Face, ...] = ()
    choices: tuple[FaceChoice, ...] = ()
    region: Box | Image.Image | None = None


@renamed_arguments(streams="kinds")
@dataclass(frozen=True)
class Recording:
    """Which attention maps to keep. ``per_head`` keeps the heads apart, else they are averaged.

    ``words`` asks for the text maps of all words of the prompt that no subject owns, too; planning a request puts
    the tokens of each into ``tokens``. Without subjects only they are recorded.

    ``per_photo`` asks for the image map of each photo of a subject, and ``per_token`` for that of each of its tokens;
    planning puts those of each photo, or each by itself, into ``photo_tokens``.
    """

    kinds: tuple[MapKind, ...] = MAP_KINDS
    per_head: bool = False
    words: bool = False
    tokens: tuple[tuple[int, ...], ...] = ()
    per_photo: bool = False
    per_token: bool = False
    photo_tokens: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Components:
    """Which components of the method are on. Those that the adapter was made without stay off.

    ``refiner`` and ``null_token`` belong to the image branch and say nothing without it.
    """

    vision_text: bool = True  # photos fused into the subjects' words (section 3.2)
    refiner: bool = True  # SE-Refiner; without it the subject tokens are its input s0
    image_branch: bool = True  # image term of the cross-attention (section 3.3)
    null_token: bool = True  # "no subject here" in the softmax of the image term

    @property
    def use_photos(self) -> bool:
        """Whether a photo enters at all. If not, the LoRAs are off as well, and the image is the base model's."""
        return self.vision_text or self.image_branch


ALL_COMPONENTS = Components()


@renamed_arguments(parts="components", binding="word_gating", sampler="scheduler")
@dataclass(frozen=True)
class GenerateRequest:
    """One validated request. ``None`` stands for the backbone's own default.

    ``start_step`` is the paper's delayed merging (section 3.4): that many first steps see the plain text only.
    One image is made per entry of ``seeds``. ``components`` switches components of the method off, to show
    what each does. ``word_gating``, from 0 (off) to 1, keeps each subject's image term where the image attends to the
    subject's own word; it helps weights that were trained without constraints to keep several subjects apart.
    ``scheduler`` is one of the backbone's ``schedulers``. ``balance_photos`` weighs the tokens of each subject by one
    over its photos. ``clip_skip`` leaves out that many of the text encoders' last layers, as in diffusers.
    ``guidance_rescale``, from 0 to 1, brings the guided prediction back to the contrast of the conditional one
    (arXiv 2305.08891, section 3.4).

    ``image`` is one to start from, as in image to image; what does not fit the size is cut off around the middle.
    ``image_strength``, above 0 and up to 1, is the part of the steps that are made; the first ones are left out.

    Prompts may be longer than the text encoder reads at a time, and may hold weights: ``(word:1.3)``, ``[word]``.
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
    components: Components = ALL_COMPONENTS
    word_gating: float = 0.0
    scheduler: str | None = None
    balance_photos: bool = False
    clip_skip: int = 0
    guidance_rescale: float = 0.0
    image: Image.Image | None = None
    image_strength: float = 0.6


# ---------------------------------------------------------------- what a person gets


@dataclass(frozen=True)
class Word:
    """The part of the prompt that stands for a subject: characters ``[start, end)`` of the cleaned prompt."""

    subject: int
    text: str
    start: int
    end: int


# ---------------------------------------------------------------- what the model sees


@dataclass(frozen=True)
class Size:
    """The sizes in pixels that a model can make."""

    default: tuple[int, int]  # (width, height)
    smallest: int
    largest: int
    multiple: int
    trained: tuple[tuple[int, int], ...] = ()  # that the weights were made for; empty: the default alone

    @property
    def made_for(self) -> tuple[tuple[int, int], ...]:
        """The sizes that the weights were made for, the default first; at others subjects may double or stretch."""
        return tuple(dict.fromkeys((self.default, *self.trained)))


def __getattr__(name: str) -> object:
    """Resolve old names that saved programs import."""
    if name in _RENAMED:
        warn_renamed(f"mmdiff_core.types.{name}", _RENAMED[name])
        return globals()[_RENAMED[name]]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_RENAMED = {"Parts": "Components", "ALL_PARTS": "ALL_COMPONENTS", "Stream": "MapKind", "STREAMS": "MAP_KINDS"}
