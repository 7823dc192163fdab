"""The referee: a small network that judges pictures and was trained on renders only.

It is no part of the generator, never sees a generated picture in training, and is never used to train or choose one.

Letters: B pictures, R side of its input, N nouns, F channels of the features, E width of an embedding, n regions.
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

from mmdiff_core.atomic_files import written_aside
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.toyworld.render.colours import COLOURS, PATTERNS
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary
from mmdiff_core.weights.adapter_file import fill

FILE = Path(__file__).parents[2] / "assets" / "referee" / "referee.safetensors"
FORMAT = "mmdiff-referee-2"
STRIDE = 16  # the side of a picture is a multiple of it
MASK_STRIDE = 2  # a segmentation has R / 2 squares a side
BANDS = 3
_LEVELS = (0.08, 0.36, 0.64, 0.92)
_COLOUR_BINS = tuple(product(_LEVELS, repeat=3))
_COLOUR_WIDTH = 0.12
_LEAST_SHARE = 1e-4
_EVIDENCE = 5  # what is known about the presence of a noun


@dataclass(frozen=True)
class RefereeConfig:
    """Sizes of the network and the words that it knows, in the order of its outputs."""

    nouns: tuple[str, ...] = WHOLE_WORLD.nouns
    places: tuple[str, ...] = WHOLE_WORLD.places
    styles: tuple[str, ...] = WHOLE_WORLD.styles
    colours: tuple[str, ...] = tuple(COLOURS)
    patterns: tuple[str, ...] = PATTERNS
    size: int = 96
    photo_size: int = 64  # a toy fills its photo, so that it is about as large in a photo as in a picture
    widths: tuple[int, int, int, int] = (24, 48, 96, 160)
    features: int = 128
    embedding: int = 128

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> RefereeConfig:
        """The usual network for the words of a world."""
        return cls(vocabulary.nouns, vocabulary.places, vocabulary.styles)

    @classmethod
    def from_json(cls, text: str) -> RefereeConfig:
        """Undo ``json.dumps(asdict(config))``."""
        values: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in json.loads(text).items()}
        return cls(**values)

    def check_knows(self, vocabulary: Vocabulary) -> None:
        """Raise ModelError if the vocabulary has a noun, place or style that this referee was not trained on."""
        for field in ("nouns", "places", "styles"):
            if strange := [word for word in getattr(vocabulary, field) if word not in getattr(self, field)]:
                raise ModelError(
                    f"The referee was not trained on the {field} {', '.join(strange)}: train one on the whole world "
                    'with "python -m mmdiff_core train-referee --out RUN".'
                )

    @property
    def look(self) -> tuple[int, ...]:
        """Choices of each of a look's four attributes: main, second and accent colour, pattern."""
        return (len(self.colours),) * 3 + (len(self.patterns),)


class Seen(NamedTuple):
    """Everything that one forward says about pictures; all but the features are logits."""

    segments: Tensor  # (B, 1 + N, R/2, R/2) background first
    features: Tensor  # (B, F + colour bins, R/4, R/4)
    nouns: Tensor  # (B, N) whether each is in the picture
    places: Tensor  # (B, places)
    styles: Tensor  # (B, styles)


class Described(NamedTuple):
    """What a region shows."""

    identity: Tensor  # (n, E) of unit length: near for the same toy, far for another of its noun
    look: tuple[Tensor, ...]  # logits (n, choices) of each attribute of ``RefereeConfig.look``


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

    Colours are most of a toy's identity and of a place. So regions, and the whole picture, are described by what the
    pyramid learns about them and, beside that, by histograms of their colours in three bands from top to bottom, which
    the normalisation inside of the pyramid would hide.

    Whether a noun is there is answered from the whole picture's features and from the segmentation: the former tell
    mush from a toy, but of two toys often just one; the latter sees a toy in everything, but each of several.
    """

    def __init__(self, config: RefereeConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c, d = config.widths
        self.stem = nn.Sequential(_normed(nn.Conv2d(3, a, 5, 2, 2)), _normed(nn.Conv2d(a, a, 3, padding=1)))
        self.down = nn.ModuleList(
            nn.Sequential(_normed(nn.Conv2d(narrow, wide, 3, 2, 1)), Block(wide))
            for narrow, wide in ((a, b), (b, c), (c, d))
        )
        self.deepest = Block(d)
        self.widen = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, 4 * a, 1)])
        self.up = Block(b)
        self.segments = nn.Conv2d(a, 1 + len(config.nouns), 1)
        self.features = _normed(nn.Conv2d(b + c, config.features, 1))
        histograms = BANDS * len(_COLOUR_BINS)
        self.nouns = _head(2 * d, len(config.nouns))  # toys of a noun come in all colours
        self.presence = _head(_EVIDENCE, 1, hidden=16)
        self.places, self.styles = (_head(2 * d + histograms, len(words)) for words in (config.places, config.styles))
        region = 2 * config.features + histograms
        self.identity = _head(region, config.embedding, hidden=256)
        self.look = _head(region, sum(config.look), hidden=256)

    def forward(self, pictures: Tensor) -> Seen:
        """See pictures (B, 3, R, R) in [0, 1], R = ``size``, or ``photo_size`` for a photo of one toy."""
        fine = self.stem(2 * pictures - 1)  # (B, a, R/2, R/2)
        x4 = self.down[0](fine)  # (B, b, R/4, R/4)
        x8 = self.down[1](x4)  # (B, c, R/8, R/8)
        x16 = self.deepest(self.down[2](x8))  # (B, d, R/16, R/16)
        x8 = F.relu(x8 + _doubled(self.widen[0](x16)))
        x4 = self.up(x4 + _doubled(self.widen[1](x8)))
        fine = F.relu(fine + F.pixel_shuffle(self.widen[2](x4), 2))
        colours = _colours(pictures)
        shapes = torch.cat((x16.mean((2, 3)), x16.amax((2, 3))), 1)  # (B, 2d)
        whole = torch.cat((shapes, *_histograms(colours, torch.ones_like(colours[:, :1]))), 1)
        features = torch.cat((self.features(torch.cat((x4, _doubled(x8)), 1)), colours), 1)
        segments = self.segments(fine)
        nouns = self.presence(_evidence(self.nouns(shapes), segments.detach()))[..., 0]
        return Seen(segments, features, nouns, self.places(whole), self.styles(whole))

    def describe(self, features: Tensor, masks: Tensor) -> Described:
        """Describe regions.

        Args:
            features: (n, F + colour bins, h, w) of the picture of each region.
            masks: (n, H, W) in [0, 1], any multiple of h and w; a region must not be empty.
        """
        share = F.interpolate(masks[:, None].to(features), features.shape[-2:], mode="area")  # (n, 1, h, w)
        learned, colours = features.split((self.config.features, len(_COLOUR_BINS)), 1)
        most = (learned * (share / share.amax((2, 3), keepdim=True).clamp(min=1e-6))).amax((2, 3))
        region = torch.cat((_mean(learned, share), most, *_histograms(colours, share)), 1)
        identity = F.normalize(self.identity(region).float(), dim=-1)
        return Described(identity, self.look(region).float().split(self.config.look, -1))

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.segments.weight.device


def _evidence(hints: Tensor, segments: Tensor) -> Tensor:
    """What speaks for each noun's presence: its hint, its area and peak, the hints and the areas of all nouns.

    Args:
        hints: (B, N) of the whole picture.
        segments: (B, 1 + N, h, w) logits.

    Returns:
        (B, N, 5); shares are logarithms.
    """
    hints, shares = hints.float(), segments.float().softmax(1)[:, 1:]
    own = [hints, _log(shares.mean((2, 3))), _log(shares.amax((2, 3)))]
    of_all = [hints.logsumexp(1, keepdim=True), _log(shares.sum(1).mean((1, 2)))[:, None]]
    return torch.stack([*own, *(x.expand_as(hints) for x in of_all)], -1)


def _log(shares: Tensor) -> Tensor:
    return shares.clamp(min=_LEAST_SHARE).log()


def _colours(pictures: Tensor) -> Tensor:
    """How near each 4x4 pixels are to each of the colour bins: (B, bins, R/4, R/4), summing to 1 over the bins.

    Bins lie on a grid in RGB; a Gaussian's share in them is the product of its shares along red, green and blue.
    """
    levels = pictures.new_tensor(_LEVELS)[:, None, None]
    pixels = F.avg_pool2d(pictures, 2)[:, :, None]  # (B, 3, 1, R/2, R/2)
    red, green, blue = ((pixels - levels).square() / (-2 * _COLOUR_WIDTH**2)).softmax(2).unbind(1)  # (B, 4, R/2, R/2)
    shares = red[:, :, None, None] * (green[:, :, None] * blue[:, None])[:, None]  # (B, 4, 4, 4, R/2, R/2)
    return F.avg_pool2d(shares.flatten(1, 3), 2)


def _histograms(colours: Tensor, share: Tensor) -> list[Tensor]:
    """Histogram (n, bins) of each band of a region (n, 1, h, w), drawn out by a root so that rare colours count, too.

    Brought to the scale of the learned features, beside which it stands.
    """
    return [4 * _mean(colours, band).clamp(min=1e-6).sqrt() for band in _bands(share)]


def _bands(share: Tensor) -> list[Tensor]:
    """A region (n, 1, h, w) cut into ``BANDS`` of equal area, from top to bottom."""
    rows = share.sum((1, 3))  # (n, h)
    above = (rows.cumsum(1) - rows / 2) / rows.sum(1, keepdim=True).clamp(min=1e-6)
    number = (above * BANDS).floor().clamp(0, BANDS - 1)[:, None, :, None]
    return [share * (number == band) for band in range(BANDS)]


def _mean(values: Tensor, share: Tensor) -> Tensor:
    """Mean of values (n, c, h, w) over a region (n, 1, h, w): (n, c)."""
    return (values * share).sum((2, 3)) / share.sum((2, 3)).clamp(min=1e-6)


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.GroupNorm(8, convolution.out_channels), nn.ReLU())


def _head(width: int, out: int, hidden: int = 128) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, out))


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def save_referee(referee: Referee, path: Path) -> None:
    """Write the weights in half precision with the configuration inside; a crash leaves the old file."""
    tensors = {name: x.detach().to("cpu", torch.float16).contiguous() for name, x in referee.state_dict().items()}
    with written_aside(path) as aside:
        save_file(tensors, aside, {"format": FORMAT, "config": json.dumps(asdict(referee.config))})


def load_referee(path: Path | str = FILE, device: str | torch.device = "cpu") -> Referee:
    """The referee in a file, in float32 and ready to judge.

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
    fill(referee, tensors, str(path))
    return referee.to(device).eval().requires_grad_(False)
