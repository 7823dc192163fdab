"""Training of the referee, on the loop that trains everything else.

RUN/pool                  renders, drawn once
RUN/coarse, RUN/fine, RUN/presence   a phase each: state.pt, log.jsonl, sheets/, referee.safetensors
RUN/referee.safetensors   the averaged weights of the last phase in half precision, as they ship
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.output.image_grid import tile, to_image
from mmdiff_core.referee.accuracy import check
from mmdiff_core.referee.augment import crop, degrade, spoil
from mmdiff_core.referee.cached_renders import NONE, RenderPool, Renders
from mmdiff_core.referee.network import MASK_STRIDE, STRIDE, Referee, Seen, save_referee
from mmdiff_core.training.stage import StageSettings

SPOILED = 0.08
SHEET = 8


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms."""

    segments: float = 1.0
    nouns: float = 4.0
    kinds: float = 1.0
    places: float = 0.3
    styles: float = 0.3
    identity: float = 0.5
    look: float = 0.3


@dataclass(frozen=True)
class View:
    """Pictures (n) of one size with the truth about them."""

    pictures: Tensor  # (n, 3, R, R) in [0, 1]
    slots: Tensor  # uint8 (n, R, R)
    nouns: Tensor  # long (n, S)
    places: Tensor  # long (n,)
    styles: Tensor  # long (n,)
    spoiled: Tensor  # bool (n,) nothing can be made out


@dataclass(frozen=True)
class Lesson:
    """What one step sees: n scenes, and the photo of one toy of each (the "pair")."""

    scenes: View
    photos: View
    pair: Tensor  # long (n,) which toy of the scene the photo shows
    looks: Tensor  # long (n, 4) of that toy


class Lessons(nn.Module):
    """Loss terms of the referee."""

    def __init__(self, referee: Referee, weights: Weights) -> None:
        super().__init__()
        self.referee, self.weights = referee, weights
        self.scale = nn.Parameter(torch.tensor(2.7))  # log of the contrast's inverse temperature, about 15

    def forward(self, lesson: Lesson) -> dict[str, Tensor]:
        scenes, photos = self.referee(lesson.scenes.pictures), self.referee(lesson.photos.pictures)
        there, shown = self._answers(scenes, lesson.scenes), self._answers(photos, lesson.photos)
        terms = {name: (there[name] + shown[name]) / 2 for name in there}
        terms |= {"kinds": self._kinds(photos, lesson.photos), **self._regions(scenes, photos, lesson)}
        return {name: getattr(self.weights, name) * value for name, value in terms.items()}

    def _answers(self, seen: Seen, view: View) -> dict[str, Tensor]:
        """What is asked of every picture. Of a spoiled one only that it shows nothing."""
        clean = ~view.spoiled
        labels = segment_labels(view.slots, view.nouns)[clean]
        logits = seen.segments.float()[clean]
        # Most of a picture is background: what a toy's pixel is among the toys is asked once more on its own.
        among_toys = F.cross_entropy(logits[:, 1:], labels - 1, ignore_index=NONE)
        return {
            "segments": F.cross_entropy(logits, labels) + among_toys,
            "nouns": F.binary_cross_entropy_with_logits(seen.nouns.float(), self._present(view)),
            "places": F.cross_entropy(seen.places.float()[clean], view.places[clean]),
            "styles": F.cross_entropy(seen.styles.float()[clean], view.styles[clean]),
        }

    def _kinds(self, seen: Seen, photos: View) -> Tensor:
        """Which noun a photo shows: there is exactly one, which says more than whether each is there."""
        clean = ~photos.spoiled
        return F.cross_entropy(seen.nouns.float()[clean], photos.nouns[clean, 0])

    def _present(self, view: View) -> Tensor:
        """Whether each noun can be made out, (n, N) float."""
        count = len(self.referee.config.nouns)
        shown = F.one_hot(view.nouns + 1, count + 1)[..., 1:].amax(1)  # NONE is dropped
        return (shown * ~view.spoiled[:, None]).float()

    def _regions(self, scenes: Seen, photos: Seen, lesson: Lesson) -> dict[str, Tensor]:
        """Contrast of each toy with its photo against all the others, and the look of both."""
        masks = lesson.scenes.slots == 1 + lesson.pair[:, None, None], lesson.photos.slots == 1
        whole = [mask.flatten(1).any(1) for mask in masks]
        usable = whole[0] & whole[1] & ~lesson.scenes.spoiled & ~lesson.photos.spoiled
        there, shown = (
            self.referee.describe(seen.features[usable], mask[usable])
            for seen, mask in zip((scenes, photos), masks, strict=True)
        )
        scores = self.scale.exp().clamp(max=60) * there.identity @ shown.identity.T
        right = torch.arange(len(scores), device=scores.device)
        truth = lesson.looks[usable].unbind(1)
        looks = [F.cross_entropy(x, y) for seen in (there, shown) for x, y in zip(seen.look, truth, strict=True)]
        contrast = (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2
        return {"identity": contrast, "look": torch.stack(looks).sum() / 2}


def segment_labels(slots: Tensor, nouns: Tensor) -> Tensor:
    """What covers most of each square of a segmentation.

    Args:
        slots: uint8 (B, R, R), 0 background, 1 + s where toy s shows.
        nouns: (B, S) of the toys.

    Returns:
        long (B, R/2, R/2): 0 background, else 1 + noun.
    """
    words = F.pad(nouns + 1, (1, 0))  # (B, 1 + S): background first
    layers = torch.stack([slots == slot for slot in range(words.shape[1])], 1).float()
    most = F.avg_pool2d(layers, MASK_STRIDE).argmax(1)  # (B, R/2, R/2)
    return words.gather(1, most.flatten(1)).view_as(most)


class RefereeStage:
    """The referee as a stage of ``training.loop.Trainer``.

    Args:
        referee: the network to train.
        pool: renders; grown by a shard every ``grow_every`` batches up to ``shards``.
        held_out: renders that are not trained on, to measure with.
        folder: where ``referee.safetensors`` goes.
        settings: of the optimiser; ``batch`` counts pictures, half of which are photos.
        scale: of the pictures; smaller ones are seen faster, which is good to begin with.
        nouns: of how many nouns a batch has toys, drawn from these for each. Few make it tell toys of one noun apart;
            but while the nouns are learned, few nouns a batch pull the answers to and fro.
        only: parts of the network to train; none named: all.
        seed: of the order of the samples.
    """

    name = "referee"

    def __init__(
        self, referee: Referee, pool: RenderPool, held_out: Renders, folder: Path, settings: StageSettings,
        shards: int, grow_every: int = 60, scale: float = 1.0, nouns: tuple[int, ...] = (24,),
        only: tuple[str, ...] = (), seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.referee, self.pool, self.held_out, self.folder = referee, pool, held_out, folder
        self.settings, self.shards, self.grow_every = settings, shards, grow_every
        self.scale, self.nouns, self.device = scale, nouns, device
        self.seed, self.rng = seed, random.Random(f"lessons:{seed}")
        self.network = Lessons(referee.train().requires_grad_(not only), Weights())
        for name in only:
            referee.get_submodule(name).requires_grad_(True)
        self.batches = 0

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Draw from here on what belongs to that step."""
        self.rng.seed(f"lessons:{self.seed}:{step}")

    def batch(self) -> Lesson:
        due = self.batches % self.grow_every == 0
        self.batches += 1
        if not self.pool.shards or (due and len(self.pool.shards) < self.shards):
            self.pool.grow(self.device)
        pairs = self.settings.batch // 2
        nouns = min(self.rng.choice(self.nouns), pairs)
        renders, pair = self.pool.draw(self.rng, nouns, pairs // nouns)
        return make_lesson(self.rng, renders, pair, self.scale, self.device)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Held-out pictures and where the referee sees toys in them."""
        pictures = self.held_out.pictures[:SHEET].float().to(self.device) / 255
        labels = self.referee(pictures).segments.argmax(1)
        return tile([[to_image(x) for x in pictures], [_coloured(x) for x in labels]])

    def finish(self) -> Mapping[str, float]:
        """Write the weights and measure them on held-out renders."""
        save_referee(self.referee, self.folder / "referee.safetensors")
        self.referee.eval()
        measured = check(self.referee, self.held_out, random.Random(0))
        self.referee.train()
        return {name: value.mean for name, value in measured.items() if value.n}


def make_lesson(rng: random.Random, renders: Renders, pair: Tensor, scale: float, device: str) -> Lesson:
    """Augmented pictures of scenes and of the photo of one toy in each, at ``scale`` times the size of the renders."""
    rows = torch.arange(len(pair))
    mirrored = rng.random() < 0.5  # all alike, so that no toy is told from another by it
    alone = torch.full_like(renders.nouns, NONE)
    alone[:, 0] = renders.nouns[rows, pair]
    scenes = (renders.pictures, renders.slots, renders.nouns, renders.places, renders.styles)
    photos = (
        renders.photos[rows, pair],
        renders.photo_slots[rows, pair],
        alone,
        renders.photo_places[rows, pair],
        torch.zeros_like(renders.styles),  # photos are of the first style
    )
    return Lesson(
        _view(rng, *scenes, mirrored, scale, device),
        _view(rng, *photos, mirrored, scale, device),
        pair.to(device),
        renders.looks[rows, pair].to(device),
    )


def _view(
    rng: random.Random, pictures: Tensor, slots: Tensor, nouns: Tensor, places: Tensor, styles: Tensor,
    mirrored: bool, scale: float, device: str,
) -> View:  # fmt: skip
    """Cropped, then degraded or spoiled, unless they are small anyway."""
    cropped, labels = crop(rng, *_scaled(pictures.float() / 255, slots, scale), mirrored)
    spoiled = [scale == 1 and rng.random() < SPOILED for _ in cropped]
    if scale == 1:
        drawn = [(spoil if bad else degrade)(rng, picture) for picture, bad in zip(cropped, spoiled, strict=True)]
        cropped = torch.stack(drawn)
    parts = (cropped, labels, nouns, places, styles, torch.tensor(spoiled))
    return View(*(part.to(device) for part in parts))


def _scaled(pictures: Tensor, slots: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Pictures and slots at ``scale`` times their size, rounded to what the network can halve."""
    size = max(1, round(pictures.shape[-1] * scale / STRIDE)) * STRIDE
    if size == pictures.shape[-1]:
        return pictures, slots
    smaller = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return smaller, F.interpolate(slots[:, None].float(), (size, size), mode="nearest-exact")[:, 0].to(torch.uint8)


def _coloured(labels: Tensor) -> Image.Image:
    """Labels (h, w) in colours, background black, twice as large."""
    palette = torch.tensor([(0, 0, 0), *(rgb(colour_of(i)) for i in range(int(labels.max())))], dtype=torch.uint8)
    return to_image(palette[labels.cpu()].movedim(-1, 0).repeat_interleave(2, 1).repeat_interleave(2, 2))


def fitting(old: Referee, new: Referee) -> Sequence[str]:
    """Give ``new`` every tensor of ``old`` that has the same name and shape; the names of the others."""
    mine, theirs = new.state_dict(), old.state_dict()
    taken = {name: x for name, x in theirs.items() if name in mine and mine[name].shape == x.shape}
    new.load_state_dict({**mine, **taken})
    return [name for name in mine if name not in taken]
