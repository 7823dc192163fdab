"""More latent channels for a trained model, so that its autoencoder can be made sharper without starting anew."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

NEW = 0.1  # scale of the fresh weights: they begin beside the trained ones, not over them


@torch.no_grad()
def widen_autoencoder(vae: AutoencoderKL, channels: int) -> AutoencoderKL:
    """The same autoencoder with further latent channels, untrained; the ones that it has stay as they are.

    Args:
        vae: with a convolution on either side of the latents, as diffusers makes it.
        channels: how many there shall be, at least as many as there are.
    """
    old = vae.config.latent_channels
    wide = AutoencoderKL.from_config({**vae.config, "latent_channels": channels})
    kept = torch.arange(old)
    moments = torch.cat([kept, channels + kept])  # an encoder gives all means, then all variances
    _inherit(wide, vae)
    _spread(wide.encoder.conv_out, vae.encoder.conv_out, moments, None)
    _spread(wide.quant_conv, vae.quant_conv, moments, moments)
    _spread(wide.post_quant_conv, vae.post_quant_conv, kept, kept)
    _spread(wide.decoder.conv_in, vae.decoder.conv_in, None, kept)
    return wide


@torch.no_grad()
def widen_unet(unet: UNet2DConditionModel, channels: int) -> UNet2DConditionModel:
    """The same network for further latent channels: it does not look at them yet, and the others go on as before."""
    old = unet.config.in_channels
    wide = UNet2DConditionModel.from_config({**unet.config, "in_channels": channels, "out_channels": channels})
    kept = torch.arange(old)
    _inherit(wide, unet)
    _spread(wide.conv_in, unet.conv_in, None, kept)
    wide.conv_in.weight[:, old:] = 0
    _spread(wide.conv_out, unet.conv_out, kept, None)
    return wide


def _inherit(wide: nn.Module, trained: nn.Module) -> None:
    """Every tensor of the same shape."""
    theirs = trained.state_dict()
    fitting = {name: theirs[name] for name, tensor in wide.state_dict().items() if theirs[name].shape == tensor.shape}
    wide.load_state_dict(fitting, strict=False)


def _spread(wide: nn.Conv2d, trained: nn.Conv2d, rows: Tensor | None, columns: Tensor | None) -> None:
    """Put a trained convolution at some output rows and input columns of a larger one; None where there are no more.

    Trained outputs do not hear the new inputs.
    """
    wide.weight *= NEW
    rows = torch.arange(wide.weight.shape[0]) if rows is None else rows
    wide.weight[rows] = 0 if columns is not None else wide.weight[rows]
    columns = torch.arange(wide.weight.shape[1]) if columns is None else columns
    wide.weight[rows[:, None], columns] = trained.weight
    assert wide.bias is not None
    assert trained.bias is not None
    wide.bias.zero_()
    wide.bias[rows] = trained.bias
