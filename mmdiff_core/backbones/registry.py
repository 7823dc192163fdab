"""From the name or the folder of a model to the class that runs it."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import torch
from diffusers import DiffusionPipeline

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.loading import missing_model
from mmdiff_core.backbones.stable_diffusion import load_stable_diffusion
from mmdiff_core.backbones.stable_diffusion_xl import load_stable_diffusion_xl
from mmdiff_core.backbones.toybox import is_toybox, load_toybox
from mmdiff_core.errors import ModelError
from mmdiff_core.nn.adapter import MMDiffAdapter

TOYBOX = "toybox"


def load_backbone(
    model: str | PathLike[str] = TOYBOX,
    adapter: str | PathLike[str] | None = None,
    image_encoder: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Backbone, MMDiffAdapter | None]:
    """The built-in model by the name "toybox", or a Stable Diffusion 1.x or XL by its folder or hub name.

    A folder that training wrote brings its own adapter and preview, as the built-in one does.

    Raises:
        ModelError: something is missing or of a kind that is not known; the message says what to do.
        CheckpointError: the adapter does not fit the model.
    """
    if model == TOYBOX:
        return load_toybox(device=device, adapter=adapter)
    if is_toybox(model):
        return load_toybox(model, device, adapter)
    loaders: dict[str, Callable[..., tuple[Backbone, MMDiffAdapter | None]]] = {
        "StableDiffusionPipeline": load_stable_diffusion,
        "StableDiffusionXLPipeline": load_stable_diffusion_xl,
    }
    kind = _kind_of(model)
    if kind not in loaders:
        raise ModelError(f'The model "{model}" is a {kind}; only {" and ".join(loaders)} can be used.')
    return loaders[kind](model, adapter, image_encoder, device, dtype)


def _kind_of(model: str | PathLike[str]) -> str:
    """The class named in a stock model's ``model_index.json``."""
    try:
        return str(DiffusionPipeline.load_config(model, local_files_only=True)["_class_name"])
    except (OSError, ValueError) as error:
        raise missing_model(model, error) from error
