"""The referee as a stage of ``training.trainer.Trainer``: batches, loss, sample sheet and result."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.output.image_grid import image_grid, to_image
from mmdiff_core.referee.accuracy import measure_accuracy
from mmdiff_core.referee.augment import crop, degrade, spoil
from mmdiff_core.referee.cached_renders import NONE, CachedRenders, Renders
from mmdiff_core.referee.network import STRIDE, Referee, save_referee
from mmdiff_core.referee.referee_loss import LabelledImages, RefereeBatch, RefereeLoss, RefereeLossWeights
from mmdiff_core.training.stage import StageSettings

SPOILED = 0.08
SHEET = 8


class RefereeStage:
    """The referee as a stage of ``training.trainer.Trainer``.

    Args:
        referee: the network to train.
        dataset: training renders; it grows by a shard every ``grow_every`` batches up to ``shards``.
        held_out: renders to measure accuracy with.
        folder: where ``referee.safetensors`` goes.
        settings: of the optimiser; ``batch`` counts images, half of which are photos.
        scale: of the images; small ones train faster, which suits the beginning.
        classes: how many classes a batch has, drawn from these numbers. With few, the referee learns to distinguish
            identities of one class; but before it knows the classes, they make training unstable.
        only: submodules of the network to train; all if empty.
        seed: of the order of the samples.
    """

    name = "referee"

    def __init__(
        self, referee: Referee, dataset: CachedRenders, held_out: Renders, folder: Path, settings: StageSettings,
        shards: int, grow_every: int = 60, scale: float = 1.0, classes: tuple[int, ...] = (24,),
        only: tuple[str, ...] = (), seed: int = 0, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.referee, self.dataset, self.held_out, self.folder = referee, dataset, held_out, folder
        self.settings, self.shards, self.grow_every = settings, shards, grow_every
        self.scale, self.classes, self.device = scale, classes, device
        self.seed, self.rng = seed, random.Random(f"lessons:{seed}")
        self.network = RefereeLoss(referee.train().requires_grad_(not only), RefereeLossWeights())
        for name in only:
            referee.get_submodule(name).requires_grad_(True)
        self.batches = 0

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Continue with the samples of that step."""
        self.rng.seed(f"lessons:{self.seed}:{step}")

    def batch(self) -> RefereeBatch:
        due = self.batches % self.grow_every == 0
        self.batches += 1
        if not self.dataset.shards or (due and len(self.dataset.shards) < self.shards):
            self.dataset.grow(self.device)
        pairs = self.settings.batch // 2
        classes = min(self.rng.choice(self.classes), pairs)
        renders, pair = self.dataset.sample(self.rng, classes, pairs // classes)
        return make_batch(self.rng, renders, pair, self.scale, self.device)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Draw held-out images and below them the referee's segmentations."""
        images = self.held_out.images[:SHEET].float().to(self.device) / 255
        labels = self.referee(images).segments.argmax(1)
        return image_grid([images, [_coloured(x) for x in labels]])

    def finish(self) -> Mapping[str, float]:
        """Write the weights and measure their accuracy on held-out renders."""
        save_referee(self.referee, self.folder / "referee.safetensors")
        self.referee.eval()
        measured = measure_accuracy(self.referee, self.held_out, random.Random(0))
        self.referee.train()
        return {name: value.mean for name, value in measured.items() if value.n}


def make_batch(rng: random.Random, renders: Renders, pair: Tensor, scale: float, device: str) -> RefereeBatch:
    """Augment scenes and the photo of one toy in each, at ``scale`` times the size of the renders."""
    rows = torch.arange(len(pair))
    mirrored = rng.random() < 0.5  # for the whole batch, so that mirroring identifies no toy
    alone = torch.full_like(renders.classes, NONE)
    alone[:, 0] = renders.classes[rows, pair]
    scenes = (renders.images, renders.slots, renders.classes, renders.backgrounds, renders.styles)
    photos = (
        renders.photos[rows, pair],
        renders.photo_slots[rows, pair],
        alone,
        renders.photo_backgrounds[rows, pair],
        torch.zeros_like(renders.styles),  # photos are of the first style
    )
    return RefereeBatch(
        _image_batch(rng, *scenes, mirrored, scale, device),
        _image_batch(rng, *photos, mirrored, scale, device),
        pair.to(device),
        renders.attributes[rows, pair].to(device),
    )


def _image_batch(
    rng: random.Random, images: Tensor, slots: Tensor, classes: Tensor, backgrounds: Tensor, styles: Tensor,
    mirrored: bool, scale: float, device: str,
) -> LabelledImages:  # fmt: skip
    """Crop images and, at full size, degrade or spoil them."""
    cropped, labels = crop(rng, *_scaled(images.float() / 255, slots, scale), mirrored)
    spoiled = [scale == 1 and rng.random() < SPOILED for _ in cropped]
    if scale == 1:
        cropped = torch.stack([(spoil if bad else degrade)(rng, x) for x, bad in zip(cropped, spoiled, strict=True)])
    parts = (cropped, labels, classes, backgrounds, styles, torch.tensor(spoiled))
    return LabelledImages(*(part.to(device) for part in parts))


def _scaled(images: Tensor, slots: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Resize images and slots to ``scale`` times their size, rounded to a multiple of ``STRIDE``."""
    size = max(1, round(images.shape[-1] * scale / STRIDE)) * STRIDE
    if size == images.shape[-1]:
        return images, slots
    smaller = F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return smaller, F.interpolate(slots[:, None].float(), (size, size), mode="nearest-exact")[:, 0].to(torch.uint8)


def _coloured(labels: Tensor) -> Image.Image:
    """Draw labels (h, w) in colours on black, twice as large."""
    palette = torch.tensor([(0, 0, 0), *(rgb(colour_of(i)) for i in range(int(labels.max())))], dtype=torch.uint8)
    return to_image(palette[labels.cpu()].movedim(-1, 0).repeat_interleave(2, 1).repeat_interleave(2, 2))


def copy_matching(old: Referee, new: Referee) -> Sequence[str]:
    """Copy tensors of the same name and shape from ``old`` to ``new``; return the names of the others."""
    mine, theirs = new.state_dict(), old.state_dict()
    copied = {name: x for name, x in theirs.items() if name in mine and mine[name].shape == x.shape}
    new.load_state_dict({**mine, **copied})
    return [name for name in mine if name not in copied]
