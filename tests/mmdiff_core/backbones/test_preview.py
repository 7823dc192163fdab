"""The rough preview of latents: one matrix, fitted to an autoencoder."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmdiff_core.backbones.preview import LatentPreview, fit_preview, random_colours, to_images
from tests.helpers import tiny


def test_fitted_preview_recovers_a_linear_autoencoder() -> None:
    """An autoencoder that mixes averaged colours into its latents: the fit undoes it."""
    mixing = torch.tensor([[0.9, -0.3, 0.1, 0.2], [0.1, 0.8, 0.3, -0.5], [0.2, 0.1, -0.7, 0.4]])

    class Latents:
        def __init__(self, values: torch.Tensor) -> None:
            self.latent_dist = self
            self.mean, self.std = values, torch.zeros_like(values)

    class Mixer(torch.nn.Module):
        config = tiny.stable_diffusion().vae.config
        dtype = torch.float32

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(mixing)

        def encode(self, pixels: torch.Tensor) -> Latents:
            return Latents(torch.einsum("bchw,cd->bdhw", F.avg_pool2d(pixels, 2), self.weight))

    preview = fit_preview(Mixer())
    colour = torch.tensor([0.8, 0.3, 0.5])
    latents = (2 * colour - 1) @ mixing * Mixer.config.scaling_factor
    assert preview(latents.view(1, 4, 1, 1)).getpixel((0, 0)) == pytest.approx((204, 76.5, 127.5), abs=1)


def test_preview_is_clipped_and_oriented() -> None:
    preview = LatentPreview(torch.eye(3), torch.zeros(3))
    latents = torch.zeros(1, 3, 2, 4)
    latents[0, 0, 0, 3] = 9.0
    shown = preview(latents)
    assert isinstance(shown, Image.Image)
    assert shown.size == (4, 2)
    assert shown.getpixel((3, 0)) == (255, 0, 0)
    assert shown.getpixel((0, 1)) == (0, 0, 0)


def test_pixels_are_rounded_and_clipped() -> None:
    pixels = torch.tensor([0.0, 0.5, 1.0, 1.7, -0.2, 0.003]).view(1, 1, 1, 6).expand(2, 3, 1, 6)
    images = to_images(pixels)
    assert [image.size for image in images] == [(6, 1)] * 2
    assert [images[0].getpixel((x, 0))[0] for x in range(6)] == [0, 128, 255, 255, 0, 1]


def test_the_colours_to_fit_on_are_always_the_same_and_cover_the_cube() -> None:
    colours = random_colours(32)
    assert torch.equal(colours, random_colours(32))
    assert colours.shape[1:] == (3, 32, 32)
    assert colours.amin((0, 2, 3)).max() < 0.2
    assert colours.amax((0, 2, 3)).min() > 0.8


def test_any_autoencoder_gets_a_preview() -> None:
    vae = tiny.stable_diffusion().vae
    preview = fit_preview(vae)
    assert preview.matrix.shape == (vae.config.latent_channels, 3)
    assert torch.isfinite(preview.matrix).all()
    assert preview(torch.zeros(1, vae.config.latent_channels, 3, 5)).size == (5, 3)
