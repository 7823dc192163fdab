"""The autoencoder's last step: latents of unit scale, pictures unchanged, a preview that shows colours."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL

from mmdiff_core.backbones.preview import fit_preview
from mmdiff_core.training.toybox.autoencoder import edge_loss, normalise_latents
from mmdiff_core.training.toybox.create import create_autoencoder
from mmdiff_core.training.toybox.recipes import RECIPES

PICTURES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    vae = create_autoencoder(RECIPES["rehearsal"]).eval()
    with torch.no_grad():  # far from unit scale and from zero mean
        vae.quant_conv.weight[:4] *= 3
        vae.quant_conv.bias[:4] += 2
    return vae


@torch.no_grad()
def test_normalised_latents_have_unit_scale_and_the_pictures_stay() -> None:
    vae = autoencoder()
    before = vae(PICTURES * 2 - 1).sample
    deviation = vae.encode(PICTURES * 2 - 1).latent_dist.std
    old_scale = vae.encode(PICTURES * 2 - 1).latent_dist.mode().std((0, 2, 3))
    normalise_latents(vae, PICTURES)
    posterior = vae.encode(PICTURES * 2 - 1).latent_dist
    latents = posterior.mode()
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(vae(PICTURES * 2 - 1).sample, before, atol=1e-4)
    assert torch.allclose(posterior.std * old_scale[None, :, None, None], deviation, rtol=1e-3)


@torch.no_grad()
def test_preview_is_the_least_squares_fit() -> None:
    vae = autoencoder()
    preview = fit_preview(vae, PICTURES)
    matrix, bias = preview.matrix, preview.bias
    latents = vae.encode(PICTURES * 2 - 1).latent_dist.mode().movedim(1, -1)
    seen = torch.nn.functional.adaptive_avg_pool2d(PICTURES, latents.shape[1:3]).movedim(1, -1)

    def error(m: torch.Tensor, b: torch.Tensor) -> float:
        return float((latents @ m + b - seen).square().mean())

    assert error(matrix, bias) < error(torch.zeros_like(matrix), seen.mean((0, 1, 2)))
    assert error(matrix, bias) <= error(matrix * 1.05, bias)


def test_edge_loss_sees_blur_that_keeps_the_mean() -> None:
    sharp = torch.zeros(1, 3, 8, 8)
    sharp[..., ::2] = 1
    evenly = torch.ones(1, 1, 8, 8)
    assert edge_loss(sharp - sharp, evenly) == 0
    assert edge_loss(0.5 - sharp, evenly) > 0.9
    assert edge_loss(0.5 - sharp, 3 * evenly) == pytest.approx(3 * float(edge_loss(0.5 - sharp, evenly)))
