"""The first two stages: the autoencoder, on crops and then on whole images. It limits everything after it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.atomic_files import save_network, write_text
from mmdiff_core.backbones.preview import fit_preview
from mmdiff_core.output.image_grid import image_grid, to_pixels
from mmdiff_core.training.optimizer import hidden_weights
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.recipes import LossWeights
from mmdiff_core.training.toybox.samples import ToyDataset

HELD_OUT_IMAGES = 64
GRID = 8  # pixels; crops begin where a latent begins
WHOLE = "whole-images"  # the stage on whole images
DEVIATION = 0.05  # of a latent around the encoder's mean


class Crops(NamedTuple):
    """Square parts of images."""

    pixels: Tensor  # (B, 3, c, c) in [0, 1]
    subjects: Tensor  # (B, 1, c, c) in [0, 1], where a subject is


class ReconstructionLoss(nn.Module):
    """Loss terms of an autoencoder on crops or whole images.

    A subject's pixel counts as much as several of the background. The decoder sees latents with noise on them, so that
    it forgives a diffusion model's small errors, and smooth latents are preferred, which such a model learns sooner.

    Args:
        vae: its encoder's mean is the latent; the variance is not learned.
        weights: of the terms.
        whole: False scales the latents to zero mean and unit variance by the statistics of each batch; True takes them
            as they are, and holds them there by a loss.
    """

    def __init__(self, vae: AutoencoderKL, weights: LossWeights, whole: bool) -> None:
        super().__init__()
        self.vae, self.weights, self.whole = vae, weights, whole

    def forward(self, crops: Crops) -> dict[str, Tensor]:
        target = crops.pixels * 2 - 1
        latents = self.scale(self.encode(target))
        error = self.decode(self._add_noise(latents)) - target
        weight = 1 + (self.weights.subject_detail - 1) * crops.subjects
        weight = weight / weight.mean()
        terms = {
            "l1": (weight * error.abs()).mean(),
            "l2": self.weights.l2 * (weight * error.square()).mean(),
            "edges": self.weights.edges * edge_loss(error, weight),
            "smooth": self.weights.smooth * roughness(latents),
        }
        return terms | {"unit": self.weights.unit * distance_from_unit(latents)} if self.whole else terms

    def encode(self, images: Tensor) -> Tensor:
        """Return float32 latents (B, c, h, w) of images (B, 3, H, W) in [-1, 1], as the encoder makes them."""
        return self.vae.encode(images.to(self.vae.dtype)).latent_dist.mode().float()

    def scale(self, latents: Tensor) -> Tensor:
        """Return latents of zero mean and unit variance: by their own statistics, unless they are so already."""
        return latents if self.whole else F.batch_norm(latents, None, None, training=True, eps=1e-6)

    def decode(self, latents: Tensor) -> Tensor:
        """Return float32 images (B, 3, H, W)."""
        return self.vae.decode(latents.to(self.vae.dtype)).sample.float()

    def _add_noise(self, latents: Tensor) -> Tensor:
        most = self.weights.whole_noise if self.whole else self.weights.crop_noise
        return latents + torch.randn_like(latents) * most * torch.rand(len(latents), 1, 1, 1, device=latents.device)


def roughness(latents: Tensor) -> Tensor:
    """Return the mean squared difference of neighbours, across plus down."""
    return latents.diff(dim=-1).square().mean() + latents.diff(dim=-2).square().mean()


def distance_from_unit(latents: Tensor) -> Tensor:
    """Return how far the channels are from zero mean and unit variance."""
    return latents.mean((0, 2, 3)).square().mean() + latents.var((0, 2, 3)).log().square().mean()


def edge_loss(error: Tensor, weight: Tensor) -> Tensor:
    """Return the L1 of the horizontal and vertical differences of an error, so that outlines count as much as areas.

    Args:
        error: (B, C, H, W).
        weight: of each pixel, (B, 1, H, W).
    """
    across = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    down = (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return across + down


class AutoencoderStage:
    """Trains ``folder/vae``: on crops first, then (``whole-images``) on whole images.

    At the end of either the latents are scaled to unit variance, and a preview is fitted to them.
    """

    def __init__(
        self, name: str, folder: Path, vae: AutoencoderKL, dataset: ToyDataset, held_out: ToyDataset,
        settings: StageSettings, losses: LossWeights,
    ) -> None:  # fmt: skip
        self.name, self.folder, self.vae, self.dataset, self.settings = name, folder, vae, dataset, settings
        vae.train().requires_grad_(True)  # not channels_last, in which the norms' backward is slow on CPUs
        self.network = ReconstructionLoss(vae, losses, whole=name == WHOLE)
        self.rng = random.Random(0)
        self.held_out = to_pixels(held_out.sample_images(HELD_OUT_IMAGES).images)

    def trained(self) -> list[nn.Parameter]:
        return list(self.vae.parameters())

    def hidden_weights(self) -> Sequence[nn.Parameter]:
        """Return all convolutions but the decoder's last one, which has three outputs."""
        return hidden_weights(self.vae)

    def seek(self, step: int) -> None:
        """Continue with the batches of that step."""
        self.dataset.seek(step)
        self.rng.seed(f"{self.name}:{step}")

    def batch(self) -> Crops:
        """Return a crop of each image, or the whole image."""
        side = self.settings.crop
        sampled = self.dataset.sample_images(self.settings.batch)
        pixels = to_pixels(sampled.images)
        subjects = F.interpolate(sampled.subjects[:, None].float() / 255, pixels.shape[-2:])
        both = torch.cat([pixels, subjects], 1)  # (B, 4, H, W): cropped alike
        if side and side < both.shape[-1]:
            both = torch.stack([self._crop(image, side) for image in both])
        both = both.to(self.vae.device)
        return Crops(both[:, :3], both[:, 3:])

    def _crop(self, image: Tensor, side: int) -> Tensor:
        top, left = (self.rng.randrange(0, extent - side + 1, GRID) for extent in image.shape[-2:])
        return image[:, top : top + side, left : left + side]

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Draw held-out images above their reconstructions."""
        shown = self.held_out[:8].to(self.vae.device)
        return image_grid([shown, self._reconstruct(shown)])

    @torch.no_grad()
    def finish(self) -> Mapping[str, float]:
        """Write the autoencoder; return its PSNR on held-out images in dB."""
        self.vae.eval()
        images = self.held_out.to(self.vae.device)
        normalise_latents(self.vae, images, decoder_follows=self.network.whole)
        self.network.whole = True  # from here on they are so
        error = F.mse_loss(self._reconstruct(images), images)
        fitted = fit_preview(self.vae, images)
        preview = {"matrix": fitted.matrix.tolist(), "bias": fitted.bias.tolist()}
        write_text(self.folder / "preview.json", json.dumps(preview, indent=1) + "\n")
        save_network(self.vae, self.folder / "vae")
        return {"psnr_db": -10 * math.log10(float(error))}

    def _reconstruct(self, images: Tensor) -> Tensor:
        latents = torch.cat([self.network.encode(chunk * 2 - 1) for chunk in images.split(8)])
        outputs = [self.network.decode(chunk) for chunk in self.network.scale(latents).split(8)]
        return (torch.cat(outputs) / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, images: Tensor, decoder_follows: bool) -> None:
    """Fold a zero mean and unit deviation of every latent channel into the 1x1 convolution behind the encoder.

    Stock pipelines have one common factor and no offset; this way they need neither. The variance that the encoder
    gives becomes the constant ``DEVIATION``.

    Args:
        vae: the autoencoder.
        images: (n, 3, H, W) in [0, 1] to measure on.
        decoder_follows: change the convolution before the decoder as well, so that images stay as they are. False for a
            decoder that was trained on latents of unit variance.
    """
    latents = torch.cat([vae.encode(chunk * 2 - 1).latent_dist.mode() for chunk in images.split(8)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))  # (c,)
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    if decoder_follows:
        after.bias += after.weight[:, :, 0, 0] @ mean
        after.weight *= std[None, :, None, None]
    before.weight[:channels] /= std[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.weight[channels:] = 0
    before.bias[channels:] = 2 * math.log(DEVIATION)
