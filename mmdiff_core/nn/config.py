"""What an adapter is made of: sizes and switches, saved inside its checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from mmdiff_core.errors import CheckpointError, SettingsError
from mmdiff_core.types import Components

Source = Literal["clip", "face"]
Unconditional = Literal["none", "blank"]
PhotoFit = Literal["pad", "crop"]
FACE_WIDTH = 512  # of an ArcFace embedding


@dataclass(frozen=True)
class AttentionLayer:
    """The shape of one attention layer of the UNet."""

    path: str  # in the UNet, e.g. down_blocks.1.attentions.0.transformer_blocks.0.attn2
    width: int  # of the hidden states
    context: int  # of what is attended to: D in cross-attention, ``width`` in self-attention
    inner: int  # H * d
    heads: int  # H


@dataclass(frozen=True)
class TextTower:
    """The shape of one text encoder. ``rank`` 0 means no LoRA in its ``layers`` self-attentions.

    With ``lora_active`` False the LoRA is carried in the file but not applied: the official code trains one in the
    second text encoder of SDXL and never applies it.
    """

    width: int  # W of its word embeddings
    layers: int = 0
    rank: int = 0
    lora_active: bool = True


@dataclass(frozen=True)
class ResamplerShape:
    """The shape of a :class:`~mmdiff_core.nn.refiner.Resampler`, whose tokens come from the patches alone.

    With a ``phrase_width`` its queries also know the subject's name and box, as in MS-Diffusion.
    """

    width: int  # of its queries
    heads: int
    head_dim: int
    depth: int
    hidden: int  # width of the feed-forward networks
    phrase_width: int = 0  # of an encoded name; 0: the queries are the same for every subject


@dataclass(frozen=True)
class AdapterConfig:
    """Sizes and switches of an :class:`~mmdiff_core.nn.adapter.MMDiffAdapter`.

    Raises:
        SettingsError: the numbers do not fit together.
    """

    cross_attention: tuple[AttentionLayer, ...]
    text_towers: tuple[TextTower, ...]
    cls_width: int  # Dv; 0: no CLS is read
    patch_width: int  # Dh; 0: no patches are read
    self_attention: tuple[AttentionLayer, ...] = ()  # layers that get a LoRA if self_attention_rank > 0
    rank: int = 64  # of the LoRAs in the cross-attention; 0: none, which needs image weights of their own
    self_attention_rank: int = 0  # 0: none
    alpha: float | None = None  # LoRA scale = alpha / rank; None: 1
    tokens: int = 4  # N, subject tokens per photo
    refiner_depth: int = 4  # 0: no SE-Refiner, the tokens are s0
    refiner_head_dim: int = 256
    refiner_hidden: int | None = None  # width of its feed-forward networks; None: 2 D
    refiner_residual: bool = True  # the refined tokens are s0 + LN(W s), not LN(W s) alone
    deep_projection: bool = True  # s0 comes from a network with a hidden layer, not from one matrix
    resampler: ResamplerShape | None = None  # makes the tokens from the patches, in the place of s0 and SE-Refiner
    own_image_weights: bool = False  # the image's K and V have weights of their own, not a LoRA on the text's
    word_fusion: bool = True  # vision-augmented text embeddings
    image_branch: bool = True  # image term of the cross-attention
    null_token: bool = True  # a learned key with zero value in the image softmax
    source: Source = "clip"  # what the subject tokens are projected from
    patches_with_cls: bool = False  # the patch tokens include the CLS token
    unconditional: Unconditional = "none"  # the unconditional half sees no image token, or those of a blank photo
    photo_fit: PhotoFit = "pad"  # how a photo becomes a square: padded, or its middle cut out
    word_scale: float = 0.02  # standard deviation of word embeddings; only where training starts
    start_step: int = 0  # default of delayed merging (section 3.4)
    fuse_after: bool = False  # photos join the words behind the text encoder, as in FastComposer, not before it

    def __post_init__(self) -> None:
        layers = (*self.cross_attention, *self.self_attention)
        self._check_widths()
        if not self.cross_attention or len({layer.context for layer in self.cross_attention}) > 1:
            raise SettingsError("an adapter needs cross-attention layers that all have the same context width")
        if any(layer.inner % layer.heads for layer in layers):
            raise SettingsError("the inner width of every attention layer must be a multiple of its heads")
        if min(self.rank, self.self_attention_rank, *(tower.rank for tower in self.text_towers)) < 0:
            raise SettingsError("LoRA ranks must not be negative")
        if self.rank == 0 and not self.own_image_weights:
            raise SettingsError("LoRA ranks must be at least 1 in the cross-attention, which has no other weights")
        if self.refiner_depth < 0:
            raise SettingsError("refiner_depth must not be negative")
        if self.fuse_after and (len(self.text_towers) != 1 or self.text_towers[0].width != self.width):
            raise SettingsError("fuse_after needs a single text encoder as wide as the cross-attention's context")
        if self.resampler is not None and (self.refiner_depth > 0 or self.source != "clip"):
            raise SettingsError("a resampler takes the place of the SE-Refiner and reads patches, not faces")
        for name, kind in (("source", Source), ("unconditional", Unconditional), ("photo_fit", PhotoFit)):
            if getattr(self, name) not in get_args(kind):
                raise SettingsError(f"{name} must be one of {', '.join(get_args(kind))}, not {getattr(self, name)!r}")

    def _check_widths(self) -> None:
        """Check, before anything is divided by them, that all sizes are whole numbers and none is too small."""
        shapes = (*self.cross_attention, *self.self_attention, self.resampler)
        sizes: list[tuple[str, object, int]] = [  # name, size, the least that it may be
            *(
                (name, size, int(name != "phrase_width"))
                for shape in shapes
                if shape
                for name, size in vars(shape).items()
                if name != "path"
            ),
            *(("width", tower.width, 1) for tower in self.text_towers),
            *(("layers", tower.layers, 0) for tower in self.text_towers),
            ("tokens", self.tokens, 1),
            ("refiner_head_dim", self.refiner_head_dim, 1),
            ("refiner_hidden", 1 if self.refiner_hidden is None else self.refiner_hidden, 1),
            ("cls_width", self.cls_width, int(self._reads_cls)),
            ("patch_width", self.patch_width, int(self.reads_patches)),
        ]
        for name, size, least in sizes:
            if not isinstance(size, int) or size < least:
                raise SettingsError(f"{name} must be a whole number of at least {least}, but is {size!r}")

    @property
    def _reads_cls(self) -> bool:
        return self.word_fusion or (self.source == "clip" and self.image_branch and self.resampler is None)

    @property
    def width(self) -> int:
        """Return D, the UNet's cross-attention width."""
        return self.cross_attention[0].context

    @property
    def source_width(self) -> int:
        """Return Dc, the width of the vector that the subject tokens are projected from."""
        return FACE_WIDTH if self.source == "face" else self.cls_width

    @property
    def reads_patches(self) -> bool:
        """Whether the tokens depend on the patches of a photo."""
        return self.image_branch and (self.refiner_depth > 0 or self.resampler is not None)

    @property
    def phrase_width(self) -> int:
        """Return the width of the encoded names that the tokens depend on, beside the boxes; 0: they do not."""
        return self.resampler.phrase_width if self.image_branch and self.resampler is not None else 0

    @property
    def reads_images(self) -> bool:
        """Whether anything of the adapter comes from an image encoder, not from face embeddings alone."""
        return self.word_fusion or self.source == "clip" or self.reads_patches

    @property
    def components(self) -> Components:
        """Return the components that the adapter has, which can be switched off."""
        branch = self.image_branch
        return Components(self.word_fusion, branch and self.refiner_depth > 0, branch, branch and self.null_token)

    def to_json(self) -> str:
        """Return one line of JSON; :meth:`from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AdapterConfig:
        """Read :meth:`to_json`'s line.

        Raises:
            CheckpointError: not JSON, a field that this version does not know or misses, or numbers that do not fit.
        """
        try:
            values = json.loads(text)
            unknown = set(values) - {field.name for field in fields(cls)}
            if unknown:
                raise CheckpointError(f"the adapter's configuration has unknown fields: {', '.join(sorted(unknown))}")
            for name in ("cross_attention", "self_attention"):
                values[name] = tuple(AttentionLayer(**layer) for layer in values[name])
            values["text_towers"] = tuple(TextTower(**tower) for tower in values["text_towers"])
            if values.get("resampler") is not None:
                values["resampler"] = ResamplerShape(**values["resampler"])
            return cls(**values)
        except (KeyError, TypeError, json.JSONDecodeError, SettingsError) as error:
            raise CheckpointError(f"the adapter's configuration cannot be read: {error}") from error
