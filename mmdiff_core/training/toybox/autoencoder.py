"""Stage 1: the autoencoder, which limits everything after it; its decoder may be trained further at any time."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
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
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.recipes import LossWeights
from mmdiff_core.training.toybox.samples import ToyDataset

HELD_OUT_IMAGES = 64


class Crops(NamedTuple):
    """Square parts of images."""

    pixels: Tensor  # (B, 3, c, c) in [0, 1]
    subjects: Tensor  # (B, 1, c, c) in [0, 1], where a subject is


class ReconstructionLoss(nn.Module):
    """Loss terms of an autoencoder on crops; a subject's pixel counts as much as several of the background."""

    def __init__(self, vae: AutoencoderKL, weights: LossWeights) -> None:
        super().__init__()
        self.vae, self.weights = vae, weights

    def forward(self, crops: Crops) -> dict[str, Tensor]:
        target = crops.pixels * 2 - 1
        posterior = self.vae.encode(target).latent_dist
        error = self.vae.decode(posterior.sample()).sample.float() - target
        weight = 1 + (self.weights.subject_detail - 1) * crops.subjects
        weight = weight / weight.mean()
        return {
            "l1": (weight * error.abs()).mean(),
            "l2": (weight * error.square()).mean(),
            "edges": self.weights.edges * edge_loss(error, weight),
            "kl": self.weights.kl * posterior.kl().mean(),
        }


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
    """Trains ``folder/vae``: all of it, or its decoder alone, which leaves the latents unchanged.

    At the end of a full training the latents are scaled to unit variance, and a preview is fitted to them.
    """

    def __init__(
        self, name: str, folder: Path, vae: AutoencoderKL, dataset: ToyDataset, held_out: ToyDataset,
        settings: StageSettings, losses: LossWeights,
    ) -> None:  # fmt: skip
        self.name, self.folder, self.vae, self.dataset, self.settings = name, folder, vae, dataset, settings
        self.network = ReconstructionLoss(vae.train().to(memory_format=torch.channels_last), losses)
        vae.requires_grad_(name == "autoencoder")
        vae.decoder.requires_grad_(True)
        vae.post_quant_conv.requires_grad_(True)
        self.rng = random.Random(0)
        self.held_out = to_pixels(held_out.sample_images(HELD_OUT_IMAGES).images)

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.vae.parameters() if parameter.requires_grad]

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
        both = both.to(self.vae.device, memory_format=torch.channels_last)
        return Crops(both[:, :3], both[:, 3:])

    def _crop(self, image: Tensor, side: int) -> Tensor:
        top, left = (self.rng.randint(0, extent - side) for extent in image.shape[-2:])
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
        error = F.mse_loss(self._reconstruct(images), images)
        if self.name == "autoencoder":
            normalise_latents(self.vae, images)
            fitted = fit_preview(self.vae, images)
            preview = {"matrix": fitted.matrix.tolist(), "bias": fitted.bias.tolist()}
            write_text(self.folder / "preview.json", json.dumps(preview, indent=1) + "\n")
        save_network(self.vae, self.folder / "vae")
        return {"psnr_db": -10 * math.log10(float(error))}

    def _reconstruct(self, images: Tensor) -> Tensor:
        outputs = [self.vae(chunk * 2 - 1).sample for chunk in images.split(8)]
        return (torch.cat(outputs) / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, images: Tensor) -> None:
    """Fold a zero mean and unit deviation of every latent channel into the two 1x1 convolutions beside the latents.

    Stock pipelines have one common factor and no offset; this way they need neither.
    """
    latents = torch.cat([vae.encode(chunk * 2 - 1).latent_dist.mode() for chunk in images.split(8)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))  # (c,)
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= std[None, :, None, None]
    before.weight[:channels] /= std[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.bias[channels:] -= 2 * std.log()
