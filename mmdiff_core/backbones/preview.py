"""Between images and latents: the autoencoder with its scale, and a rough preview by one matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image
from torch import Tensor

from mmdiff_core.encoders.devices import device_of

Autoencoder: TypeAlias = AutoencoderKL | AutoencoderTiny
FIT_IMAGES = 2
FIT_BLOBS = 6  # latent pixels a side of the random colours that a preview is fitted on
FIT_SIDE = 16  # latent pixels a side of a fitted image
RIDGE = 0.002  # of the latents' variance: keeps the map of channels that say the same from showing their noise


@dataclass(frozen=True, eq=False)
class LatentPreview:
    """The linear map from latent channels to RGB, fast enough for every step."""

    matrix: Tensor  # (c, 3)
    bias: Tensor  # (3,)

    def __call__(self, latents: Tensor) -> Image.Image:
        """Return an image in the size of the latents (1, c, h, w)."""
        pixels = latents[0].float().cpu().movedim(0, -1) @ self.matrix + self.bias  # (h, w, 3)
        return to_images(pixels.movedim(-1, 0)[None])[0]


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Convert (B, 3, H, W) with [0, 1] as the visible range to 8-bit images."""
    values = (pixels.float().clamp(0, 1) * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(picture) for picture in values]


def encode_images(vae: Autoencoder, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (B, c, h, w) of the latents of (B, 3, H, W) in [-1, 1], in its own scale.

    A tiny autoencoder (TAESD) has no deviation: 0.
    """
    encoded = vae.encode(pixels)
    if isinstance(vae, AutoencoderTiny):
        return encoded.latents, torch.zeros_like(encoded.latents)
    return encoded.latent_dist.mean, encoded.latent_dist.std


def scale_latents(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Return what the UNet reads of an autoencoder's latents (B, c, h, w); :func:`unscale_latents` is the inverse."""
    mean, deviation = _statistics(vae, latents)
    return (latents - mean) * vae.config.scaling_factor / deviation


def unscale_latents(vae: Autoencoder, latents: Tensor) -> Tensor:
    """Return what the decoder reads of the UNet's latents (B, c, h, w), as the stock pipelines do."""
    mean, deviation = _statistics(vae, latents)
    return latents * deviation / vae.config.scaling_factor + mean


def _statistics(vae: Autoencoder, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation per channel (1, c, 1, 1) that latents are normalised by; 0 and 1 where none are known.

    Playground v2.5 has them.
    """
    mean, deviation = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is None or deviation is None:
        mean, deviation = (0.0,), (1.0,)
    return like.new_tensor(mean).view(1, -1, 1, 1), like.new_tensor(deviation).view(1, -1, 1, 1)


@torch.no_grad()
def fit_preview(vae: Autoencoder, pictures: Tensor | None = None) -> LatentPreview:
    """Fit, by least squares with a little ridge, an autoencoder's scaled latents to colours.

    Args:
        vae: the autoencoder.
        pictures: (n, 3, H, W) in [0, 1] to fit on. By default smooth random colours, so that any autoencoder gets a
            preview without a table; that is approximate by nature, and takes as long as encoding a few images.
    """
    if pictures is None:
        pictures = random_colours(FIT_SIDE * 2 ** (len(vae.config.block_out_channels) - 1))
    scaled = (pictures * 2 - 1).to(device_of(vae), vae.dtype)
    latents = scale_latents(vae, torch.cat([encode_images(vae, chunk)[0] for chunk in scaled.split(8)]))
    seen = F.interpolate(pictures, latents.shape[-2:], mode="area").movedim(1, -1).flatten(0, 2).float().cpu()
    known = latents.movedim(1, -1).flatten(0, 2).float().cpu()  # (n h w, c)
    middle, usual = known.mean(0), seen.mean(0)
    deviations = known - middle
    covariance = deviations.T @ deviations / len(known)  # (c, c)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance))
    matrix = torch.linalg.lstsq(covariance + ridge, deviations.T @ (seen - usual) / len(known), driver="gelsd").solution
    return LatentPreview(matrix, usual - middle @ matrix)


def random_colours(side: int) -> Tensor:
    """Return smooth images (n, 3, side, side) of colours all over the cube, always the same."""
    drawn = torch.rand(FIT_IMAGES, 3, FIT_BLOBS, FIT_BLOBS, generator=torch.Generator().manual_seed(0))
    return F.interpolate(drawn, side, mode="bicubic").clamp(0, 1)
