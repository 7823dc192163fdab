"""The autoencoder's last step: latents of unit scale, pictures unchanged, a preview that shows colours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL

from mmdiff_core.backbones.preview import fit_preview
from mmdiff_core.training.toybox.autoencoder import DEVIATION, Crops, ReconstructionLoss, edge_loss, normalise_latents
from mmdiff_core.training.toybox.create import create_autoencoder
from mmdiff_core.training.toybox.recipes import RECIPES, LossWeights

PICTURES = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def autoencoder() -> AutoencoderKL:
    torch.manual_seed(0)
    vae = create_autoencoder(RECIPES["rehearsal"]).eval()
    with torch.no_grad():  # far from unit scale and from zero mean
        torch.nn.init.normal_(vae.quant_conv.weight)
        vae.quant_conv.bias[:4] += 2
    return vae


@torch.no_grad()
@pytest.mark.parametrize("follows", [True, False])
def test_normalised_latents_have_unit_scale(follows: bool) -> None:
    """The images stay if the decoder follows; else it stays, and sees the normalised latents."""
    vae = autoencoder()
    before = vae.encode(PICTURES * 2 - 1).latent_dist.mode()
    some = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    decoded, shown = vae.decode(before).sample, vae.decode(some).sample
    normalise_latents(vae, PICTURES, decoder_follows=follows)
    posterior = vae.encode(PICTURES * 2 - 1).latent_dist
    latents = posterior.mode()
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(latents.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(posterior.std, torch.full_like(latents, DEVIATION), rtol=1e-4)
    if follows:
        assert torch.allclose(vae.decode(latents).sample, decoded, atol=1e-4)
    else:
        assert torch.equal(vae.decode(some).sample, shown)


def crops() -> Crops:
    return Crops(PICTURES, torch.zeros(6, 1, 32, 32))


def test_on_crops_the_decoder_sees_unit_latents_whatever_the_encoder_makes() -> None:
    vae = autoencoder()
    loss = ReconstructionLoss(vae, replace(LossWeights(), crop_noise=0.0), whole=False)
    terms = {name: value.item() for name, value in loss(crops()).items()}
    assert terms.keys() == {"l1", "l2", "edges", "smooth"}
    with torch.no_grad():
        vae.quant_conv.weight *= 2
        vae.quant_conv.bias += 1
    for name, value in loss(crops()).items():
        assert value.item() == pytest.approx(terms[name], rel=1e-3)


def test_on_whole_images_a_loss_holds_the_latents_at_unit_scale() -> None:
    vae = autoencoder()
    loss = ReconstructionLoss(vae, LossWeights(), whole=True)
    far = loss(crops())["unit"]
    normalise_latents(vae, PICTURES, decoder_follows=True)
    assert loss(crops())["unit"] < 1e-3 * far


def test_noise_on_latents_changes_what_the_decoder_sees() -> None:
    loss = ReconstructionLoss(autoencoder(), replace(LossWeights(), whole_noise=0.0), whole=True)
    assert loss(crops())["l1"] == loss(crops())["l1"]
    loss = ReconstructionLoss(autoencoder(), LossWeights(), whole=True)
    assert loss(crops())["l1"] != loss(crops())["l1"]


@torch.no_grad()
def test_a_fresh_autoencoder_carries_colours() -> None:
    """Its latents tell the colours of plain images, before any training."""
    torch.manual_seed(0)
    vae = create_autoencoder(RECIPES["rehearsal"]).eval()
    plain = torch.rand(64, 3, 1, 1).expand(-1, -1, 16, 16)
    latents = vae.encode(plain * 2 - 1).latent_dist.mode()[:, :, 2, 2]  # (64, 4)
    colours = torch.cat([plain[:, :, 0, 0], torch.ones(64, 1)], 1)
    missed = latents - colours @ torch.linalg.lstsq(colours, latents).solution
    assert missed.square().mean() < 0.3 * latents.var(0).mean()
    down = vae.encoder.down_blocks[0].downsamplers[0].conv.weight
    assert down.diagonal()[:2, :2].mean().item() == pytest.approx(0.25, abs=0.1)


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
