"""The referee: a small network that judges images and was trained on renders only.

It is independent of the generator: it never sees generated images in training, and nobody trains or selects with it.

Letters: B images, R side of the input, N classes, F channels of the features, E width of an embedding, n regions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.toyworld.render.colours import COLOURS, PATTERNS
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary
from mmdiff_core.weights.adapter_file import load_tensors

FILE = Path(__file__).parents[2] / "assets" / "referee" / "referee.safetensors"
FORMAT = "mmdiff-referee-3"
STRIDE = 32  # the side of an image is a multiple of it
MASK_STRIDE = 2  # a segmentation has R / 2 squares per side
BANDS = 3
_LEVELS = (0.08, 0.36, 0.64, 0.92)
_COLOUR_BINS = tuple(product(_LEVELS, repeat=3))
_COLOUR_WIDTH = 0.12
_MIN_SHARE = 1e-4
_EVIDENCE = 5  # features that the presence of a class is judged by
_KEYS = {"classes": "nouns", "backgrounds": "places"}  # names of fields in the metadata of the file, where they differ


@dataclass(frozen=True)
class RefereeConfig:
    """Sizes of the network, and the names that it knows in the order of its outputs."""

    classes: tuple[str, ...] = WHOLE_WORLD.classes
    backgrounds: tuple[str, ...] = WHOLE_WORLD.backgrounds
    styles: tuple[str, ...] = WHOLE_WORLD.styles
    colours: tuple[str, ...] = tuple(COLOURS)
    patterns: tuple[str, ...] = PATTERNS
    size: int = 192
    photo_size: int = 128  # a toy fills its photo, so it is about as large there as in an image of a scene
    widths: tuple[int, int, int, int] = (24, 48, 96, 160)
    detail: int = 16  # channels of the finest level
    features: int = 128
    embedding: int = 128

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> RefereeConfig:
        """Return the usual network for the names of a world."""
        return cls(vocabulary.classes, vocabulary.backgrounds, vocabulary.styles)

    @classmethod
    def from_json(cls, text: str) -> RefereeConfig:
        """Undo :meth:`to_json`."""
        fields = {key: field for field, key in _KEYS.items()}
        values: dict[str, Any] = {
            fields.get(key, key): tuple(x) if isinstance(x, list) else x for key, x in json.loads(text).items()
        }
        return cls(**values)

    def to_json(self) -> str:
        """Return all fields under the keys of the metadata."""
        return json.dumps({_KEYS.get(field, field): x for field, x in asdict(self).items()})

    def check_knows(self, vocabulary: Vocabulary) -> None:
        """Raise ModelError if the vocabulary has a class, background or style that this referee was not trained on."""
        for field in ("classes", "backgrounds", "styles"):
            if unknown := [name for name in getattr(vocabulary, field) if name not in getattr(self, field)]:
                raise ModelError(
                    f"The referee was not trained on the {field} {', '.join(unknown)}: train one on the whole world "
                    'with "python -m mmdiff_core train-referee --out RUN".'
                )

    @property
    def attribute_sizes(self) -> tuple[int, ...]:
        """Return the number of values of each attribute: main, second and accent colour, pattern."""
        return (len(self.colours),) * 3 + (len(self.patterns),)


class RefereeOutput(NamedTuple):
    """The output of one forward pass; everything but the features are logits."""

    segments: Tensor  # (B, 1 + N, R/2, R/2) background first
    features: Tensor  # (B, F + colour bins, R/8, R/8)
    classes: Tensor  # (B, N) whether each is in the image
    backgrounds: Tensor  # (B, backgrounds)
    styles: Tensor  # (B, styles)


class RegionDescription(NamedTuple):
    """What a region shows."""

    identity: Tensor  # (n, E) of unit length: near for the same identity, far for another one of its class
    attributes: tuple[Tensor, ...]  # logits (n, values) of each attribute, see ``RefereeConfig.attribute_sizes``


class Block(nn.Module):
    """Residual: two 3x3 convolutions, each normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norms[1](self.second(F.relu(self.norms[0](self.first(x))))))


class Referee(nn.Module):
    """A feature pyramid with a head per question.

    Colours make up most of an identity and of a background. Regions and whole images are therefore described by learned
    features and by colour histograms in three bands from top to bottom, because the normalisation inside the pyramid
    hides colours.

    The presence of a class is judged by the features of the whole image and by the segmentation. The former separate
    toys from unrecognisable content but often miss one of two toys; the latter finds toys everywhere, but all of them.
    """

    def __init__(self, config: RefereeConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        self.detail = _normed(nn.Conv2d(3, config.detail, 5, 2, 2), groups=4)
        stem = nn.Conv2d(3 + config.detail, a, 5, 2, 2)
        self.stem = nn.Sequential(_normed(stem), _normed(nn.Conv2d(a, a, 3, padding=1)))
        self.down = nn.ModuleList(
            nn.Sequential(_normed(nn.Conv2d(narrow, wide, 3, 2, 1)), Block(wide))
            for narrow, wide in ((a, b), (b, c), (c, d))
        )
        self.deepest = Block(d)
        self.widen = nn.ModuleList(nn.Conv2d(*sizes, 1) for sizes in ((d, c), (c, b), (b, 4 * a), (a, 4 * a)))
        self.up = Block(b)
        self.outline = nn.Conv2d(config.detail, a, 1)
        self.segments = nn.Conv2d(a, 1 + len(config.classes), 1)
        self.features = _normed(nn.Conv2d(b + c, config.features, 1))
        histograms = BANDS * len(_COLOUR_BINS)
        # The names of these heads are keys of the file: "nouns" for classes, "places" for backgrounds, "look" for
        # attributes.
        self.nouns = _head(2 * d, len(config.classes))  # without histograms: toys of a class have all colours
        self.presence = _head(_EVIDENCE, 1, hidden=16)
        self.places = _head(2 * d + histograms, len(config.backgrounds))
        self.styles = _head(2 * d + histograms, len(config.styles))
        region = 2 * config.features + histograms
        self.identity = _head(region, config.embedding, hidden=256)
        self.look = _head(region, sum(config.attribute_sizes), hidden=256)

    def forward(self, images: Tensor) -> RefereeOutput:
        """Judge images (B, 3, R, R) in [0, 1]; R is ``size``, or ``photo_size`` for a photo of one toy."""
        half = F.avg_pool2d(images, 2)
        x2 = self.detail(2 * images - 1)  # (B, detail, R/2, R/2)
        x4 = self.stem(torch.cat((2 * half - 1, x2), 1))  # (B, a, R/4, R/4)
        x8 = self.down[0](x4)  # (B, b, R/8, R/8)
        x16 = self.down[1](x8)  # (B, c, R/16, R/16)
        x32 = self.deepest(self.down[2](x16))  # (B, d, R/32, R/32)
        x16 = F.relu(x16 + _doubled(self.widen[0](x32)))
        x8 = self.up(x8 + _doubled(self.widen[1](x16)))
        x4 = F.relu(x4 + F.pixel_shuffle(self.widen[2](x8), 2))
        outlines = F.relu(self.outline(x2) + F.pixel_shuffle(self.widen[3](x4), 2))  # (B, a, R/2, R/2)
        colours = _colours(half)
        shapes = torch.cat((x32.mean((2, 3)), x32.amax((2, 3))), 1)  # (B, 2d)
        whole = torch.cat((shapes, *_histograms(colours, torch.ones_like(colours[:, :1]))), 1)
        features = torch.cat((self.features(torch.cat((x8, _doubled(x16)), 1)), colours), 1)
        segments = self.segments(outlines)
        classes = self.presence(_evidence(self.nouns(shapes), segments.detach()))[..., 0]
        return RefereeOutput(segments, features, classes, self.places(whole), self.styles(whole))

    def describe(self, features: Tensor, masks: Tensor) -> RegionDescription:
        """Describe regions.

        Args:
            features: (n, F + colour bins, h, w) of the image of each region.
            masks: (n, H, W) in [0, 1], any multiple of h and w; regions must not be empty.
        """
        share = F.interpolate(masks[:, None].to(features), features.shape[-2:], mode="area")  # (n, 1, h, w)
        learned, colours = features.split((self.config.features, len(_COLOUR_BINS)), 1)
        most = (learned * (share / share.amax((2, 3), keepdim=True).clamp(min=1e-6))).amax((2, 3))
        region = torch.cat((_mean(learned, share), most, *_histograms(colours, share)), 1)
        identity = F.normalize(self.identity(region).float(), dim=-1)
        return RegionDescription(identity, self.look(region).float().split(self.config.attribute_sizes, -1))

    @property
    def device(self) -> torch.device:
        """Return the device of its weights."""
        return self.segments.weight.device


def _evidence(hints: Tensor, segments: Tensor) -> Tensor:
    """Return the evidence for each class: its hint, its area and peak, and the hints and areas of all classes.

    Args:
        hints: (B, N) of the whole image.
        segments: (B, 1 + N, h, w) logits.

    Returns:
        (B, N, 5); shares are logarithms.
    """
    hints, shares = hints.float(), segments.float().softmax(1)[:, 1:]
    own = [hints, _log(shares.mean((2, 3))), _log(shares.amax((2, 3)))]
    of_all = [hints.logsumexp(1, keepdim=True), _log(shares.sum(1).mean((1, 2)))[:, None]]
    return torch.stack([*own, *(x.expand_as(hints) for x in of_all)], -1)


def _log(shares: Tensor) -> Tensor:
    return shares.clamp(min=_MIN_SHARE).log()


def _colours(images: Tensor) -> Tensor:
    """Return how near each 4x4 pixels of images (B, 3, R, R) are to each colour bin.

    Bins lie on a grid in RGB; a Gaussian's share in them is the product of its shares along red, green and blue.

    Returns:
        (B, bins, R/4, R/4), summing to 1 over the bins.
    """
    levels = images.new_tensor(_LEVELS)[:, None, None]
    pixels = F.avg_pool2d(images, 2)[:, :, None]  # (B, 3, 1, R/2, R/2)
    red, green, blue = ((pixels - levels).square() / (-2 * _COLOUR_WIDTH**2)).softmax(2).unbind(1)  # (B, 4, R/2, R/2)
    shares = red[:, :, None, None] * (green[:, :, None] * blue[:, None])[:, None]  # (B, 4, 4, 4, R/2, R/2)
    return F.avg_pool2d(shares.flatten(1, 3), 2)


def _histograms(colours: Tensor, share: Tensor) -> list[Tensor]:
    """Return a histogram (n, bins) of each band of a region (n, 1, h, w), at the scale of the learned features.

    The square root makes rare colours count.
    """
    return [4 * _mean(colours, band).clamp(min=1e-6).sqrt() for band in _bands(share)]


def _bands(share: Tensor) -> list[Tensor]:
    """Cut a region (n, 1, h, w) into ``BANDS`` of equal area, from top to bottom."""
    rows = share.sum((1, 3))  # (n, h)
    above = (rows.cumsum(1) - rows / 2) / rows.sum(1, keepdim=True).clamp(min=1e-6)
    number = (above * BANDS).floor().clamp(0, BANDS - 1)[:, None, :, None]
    return [share * (number == band) for band in range(BANDS)]


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """Return the mean of values (n, c, h, w) over a region (n, 1, h, w): (n, c)."""
    return (values * share).sum((2, 3)) / share.sum((2, 3)).clamp(min=1e-6)


def _normed(convolution: nn.Conv2d, groups: int = 8) -> nn.Sequential:
    return nn.Sequential(convolution, nn.GroupNorm(groups, convolution.out_channels), nn.ReLU())


def _head(width: int, out: int, hidden: int = 128) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def save_referee(referee: Referee, path: Path) -> None:
    """Write the weights in half precision with the configuration inside; a crash keeps the old file."""
    tensors = {name: x.detach().to("cpu", torch.float16).contiguous() for name, x in referee.state_dict().items()}
    with atomic_file(path) as aside:
        save_file(tensors, aside, {"format": FORMAT, "config": referee.config.to_json()})


def load_referee(path: Path | str = FILE, device: str | torch.device = "cpu") -> Referee:
    """Read a referee, in float32 and ready to judge.

    Raises:
        ModelError: there is no such file.
        CheckpointError: it is not a referee, or its tensors do not fit its configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(
            f'There is no referee at "{path}": get the complete repository, with its "assets" folder, or train one '
            'with "python -m mmdiff_core train-referee --out RUN".'
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'The referee "{path}" cannot be read as safetensors: {error}') from error
    if metadata.get("format") != FORMAT or "config" not in metadata:
        raise CheckpointError(f'"{path}" is not a referee of this version (format {FORMAT}): train one anew.')
    referee = Referee(RefereeConfig.from_json(metadata["config"]))
    load_tensors(referee, tensors, str(path))
    return referee.to(device).eval().requires_grad_(False)
