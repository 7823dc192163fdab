"""Further latent channels for a trained model, so that its autoencoder can become sharper without a new start."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

FRESH_SCALE = 0.1  # of the new weights, small compared with the trained ones


@torch.no_grad()
def extend_autoencoder(vae: AutoencoderKL, channels: int) -> AutoencoderKL:
    """Return the autoencoder with further, untrained latent channels; the trained ones work as before.

    Args:
        vae: with a convolution on either side of the latents, as diffusers makes it.
        channels: the new number of latent channels, at least the present one.
    """
    old = vae.config.latent_channels
    extended = AutoencoderKL.from_config({**vae.config, "latent_channels": channels})
    kept = torch.arange(old)
    moments = torch.cat([kept, channels + kept])  # an encoder gives all means, then all variances
    _copy_matching(extended, vae)
    _copy_convolution(extended.encoder.conv_out, vae.encoder.conv_out, moments, None)
    _copy_convolution(extended.quant_conv, vae.quant_conv, moments, moments)
    _copy_convolution(extended.post_quant_conv, vae.post_quant_conv, kept, kept)
    _copy_convolution(extended.decoder.conv_in, vae.decoder.conv_in, None, kept)
    return extended


@torch.no_grad()
def extend_unet(unet: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """Return the network for further latent channels: it ignores them as inputs, and predicts the others as before."""
    old = unet.config.in_channels
    extended = UNet2DConditionModel.from_config({**unet.config, "in_channels": channels, "out_channels": channels})
    kept = torch.arange(old)
    _copy_matching(extended, unet)
    _copy_convolution(extended.conv_in, unet.conv_in, None, kept)
    extended.conv_in.weight[:, old:] = 0
    _copy_convolution(extended.conv_out, unet.conv_out, kept, None)
    return extended


def _copy_matching(extended: nn.Module, trained: nn.Module) -> None:
    """Copy every tensor of the same shape."""
    state = trained.state_dict()
    matching = {name: state[name] for name, x in extended.state_dict().items() if state[name].shape == x.shape}
    extended.load_state_dict(matching, strict=False)


def _copy_convolution(extended: nn.Conv2d, trained: nn.Conv2d, rows: Tensor | None, columns: Tensor | None) -> None:
    """Copy a trained convolution to some output rows and input columns of a larger one; None stands for all.

    Trained outputs ignore the new inputs.
    """
    extended.weight *= FRESH_SCALE
    rows = torch.arange(extended.weight.shape[0]) if rows is None else rows
    extended.weight[rows] = 0 if columns is not None else extended.weight[rows]
    columns = torch.arange(extended.weight.shape[1]) if columns is None else columns
    extended.weight[rows[:, None], columns] = trained.weight
    assert extended.bias is not None
    assert trained.bias is not None
    extended.bias.zero_()
    extended.bias[rows] = trained.bias
