"""Stage 1: the autoencoder that limits everything after it; and more training for its decoder at any later time."""

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

from mmdiff_core.atomic_files import save_part, write_text
from mmdiff_core.backbones.preview import fit_preview
from mmdiff_core.output.image_grid import grid, to_pixels
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.cached_dataset import Source
from mmdiff_core.training.toybox.recipes import LossWeights

HELD_OUT_PICTURES = 64


class Crops(NamedTuple):
    """Square parts of pictures."""

    pixels: Tensor  # (B, 3, c, c) in [0, 1]
    subjects: Tensor  # (B, 1, c, c) in [0, 1], where a subject is


class Reconstruction(nn.Module):
    """Loss terms of an autoencoder on crops; a subject's pixel counts for several of the background's."""

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
    """L1 of the error (B, C, H, W) of horizontal and vertical differences: outlines count as much as areas.

    ``weight`` (B, 1, H, W) is that of each pixel.
    """
    across = (weight[..., 1:] * error.diff(dim=-1).abs()).mean()
    down = (weight[..., 1:, :] * error.diff(dim=-2).abs()).mean()
    return across + down


class AutoencoderStage:
    """Trains ``folder/vae``: the whole, or its decoder alone, which leaves the latents as they are.

    At its end the whole gets latents of unit scale, and a preview that fits them.
    """

    def __init__(
        self, name: str, folder: Path, vae: AutoencoderKL, source: Source, held_out: Source, settings: StageSettings,
        losses: LossWeights,
    ) -> None:  # fmt: skip
        self.name, self.folder, self.vae, self.source, self.settings = name, folder, vae, source, settings
        self.network = Reconstruction(vae.train().to(memory_format=torch.channels_last), losses)
        vae.requires_grad_(name == "autoencoder")
        vae.decoder.requires_grad_(True)
        vae.post_quant_conv.requires_grad_(True)
        self.rng = random.Random(0)
        self.held_out = to_pixels(held_out.pictures(HELD_OUT_PICTURES).images)

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.vae.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Draw from here on what belongs to that step."""
        self.source.seek(step)
        self.rng.seed(f"{self.name}:{step}")

    def batch(self) -> Crops:
        """A crop of each picture, or the whole of it."""
        side = self.settings.crop
        drawn = self.source.pictures(self.settings.batch)
        pixels = to_pixels(drawn.images)
        subjects = F.interpolate(drawn.subjects[:, None].float() / 255, pixels.shape[-2:])
        both = torch.cat([pixels, subjects], 1)  # (B, 4, H, W): cropped alike
        if side and side < both.shape[-1]:
            both = torch.stack([self._crop(picture, side) for picture in both])
        both = both.to(self.vae.device, memory_format=torch.channels_last)
        return Crops(both[:, :3], both[:, 3:])

    def _crop(self, picture: Tensor, side: int) -> Tensor:
        top, left = (self.rng.randint(0, extent - side) for extent in picture.shape[-2:])
        return picture[:, top : top + side, left : left + side]

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Held-out pictures above their reconstructions."""
        shown = self.held_out[:8].to(self.vae.device)
        return grid([shown, self._reconstruct(shown)])

    @torch.no_grad()
    def finish(self) -> Mapping[str, float]:
        """PSNR on held-out pictures in dB; the finished autoencoder is in the folder."""
        self.vae.eval()
        pictures = self.held_out.to(self.vae.device)
        error = F.mse_loss(self._reconstruct(pictures), pictures)
        if self.name == "autoencoder":
            normalise_latents(self.vae, pictures)
            fitted = fit_preview(self.vae, pictures)
            preview = {"matrix": fitted.matrix.tolist(), "bias": fitted.bias.tolist()}
            write_text(self.folder / "preview.json", json.dumps(preview, indent=1) + "\n")
        save_part(self.vae, self.folder / "vae")
        return {"psnr_db": -10 * math.log10(float(error))}

    def _reconstruct(self, pictures: Tensor) -> Tensor:
        outputs = [self.vae(chunk * 2 - 1).sample for chunk in pictures.split(8)]
        return (torch.cat(outputs) / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def normalise_latents(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Fold zero mean and unit deviation of every latent channel into the two 1x1 convolutions beside the latents.

    Stock pipelines know one common factor and no offset; this way they need neither.
    """
    latents = torch.cat([vae.encode(chunk * 2 - 1).latent_dist.mode() for chunk in pictures.split(8)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))  # (c,)
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight *= std[None, :, None, None]
    before.weight[:channels] /= std[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - mean) / std
    before.bias[channels:] -= 2 * std.log()
