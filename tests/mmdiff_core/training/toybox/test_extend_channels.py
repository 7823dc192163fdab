"""Further latent channels leave what was learned as it was."""

from __future__ import annotations

import torch

from mmdiff_core.training.toybox.create import create_autoencoder, create_unet
from mmdiff_core.training.toybox.extend_channels import extend_autoencoder, extend_unet
from mmdiff_core.training.toybox.recipes import RECIPES

RECIPE = RECIPES["rehearsal"]


@torch.no_grad()
def test_an_extended_autoencoder_gives_the_old_channels_and_pictures_that_are_as_good() -> None:
    torch.manual_seed(0)
    old = create_autoencoder(RECIPE).eval()
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    extended = extend_autoencoder(old, 7).eval()
    before, after = old.encode(pictures).latent_dist, extended.encode(pictures).latent_dist
    assert after.mean.shape[1] == extended.config.latent_channels == 7
    assert torch.allclose(after.mean[:, :4], before.mean, atol=1e-5)
    assert torch.allclose(after.std[:, :4], before.std, atol=1e-5)
    latents = torch.cat([before.mean, torch.zeros(2, 3, *before.mean.shape[2:])], 1)
    assert torch.allclose(extended.decode(latents).sample, old.decode(before.mean).sample, atol=1e-5)
    assert after.mean[:, 4:].std() > 0  # they start with something to say


@torch.no_grad()
def test_an_extended_network_predicts_the_old_channels_as_before_whatever_the_new_ones_hold() -> None:
    torch.manual_seed(0)
    old = create_unet(RECIPE).eval()
    extended = extend_unet(old, 7).eval()
    noisy, text = torch.randn(2, 4, 8, 8), torch.randn(2, 5, RECIPE.shapes.text_width)
    padded = torch.cat([noisy, torch.randn(2, 3, 8, 8)], 1)
    before, after = (net(x, 0.3, text).sample for net, x in ((old, noisy), (extended, padded)))
    assert after.shape[1] == 7
    assert torch.allclose(after[:, :4], before, atol=1e-5)
    assert after[:, 4:].std() > 0
