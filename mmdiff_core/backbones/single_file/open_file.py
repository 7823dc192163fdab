"""From a model's one file to a stock pipeline, without a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors import safe_open
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mmdiff_core.backbones.distillation import scheduler_for_name
from mmdiff_core.backbones.single_file.checkpoint import TEXT, UNET, VAE, Checkpoint
from mmdiff_core.backbones.single_file.derived_configs import Config, text_configs, unet_config, vae_config
from mmdiff_core.backbones.single_file.text_weights import text_weights
from mmdiff_core.backbones.single_file.vocabulary_search import find_tokenizer
from mmdiff_core.errors import ModelError
from mmdiff_core.numeric_checks import check_finite_weights

logger = logging.getLogger(__name__)

# The noise schedule of every Stable Diffusion, and the schedulers that the originals come with.
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LATENT_STATISTICS = "edm_"
OFFSET = {**BETAS, "steps_offset": 1}


def pipeline_class(checkpoint: Checkpoint) -> type[DiffusionPipeline]:
    """Return the class of the stock pipeline for a file."""
    return StableDiffusionXLPipeline if checkpoint.family == "sdxl" else StableDiffusionPipeline


def open_checkpoint(checkpoint: Checkpoint, dtype: torch.dtype) -> DiffusionPipeline:
    """Open the pipeline in a file, on the CPU; every tensor is accounted for.

    Raises:
        ModelError: tensors are missing or of another shape, or the vocabulary of the text encoder is not here.
    """
    configs = text_configs(checkpoint)
    clip = {"tokenizer": False, "tokenizer_2": True} if checkpoint.family == "sdxl" else {
        "tokenizer": checkpoint.family == "sd2"
    }  # fmt: skip
    tokenizers = {
        name: find_tokenizer(checkpoint.path, config["vocab_size"], open_clip)
        for (name, open_clip), config in zip(clip.items(), configs, strict=True)
    }
    wanted = (UNET, VAE, *TEXT[checkpoint.family], LATENT_STATISTICS)  # what training left behind stays on the disk
    with safe_open(checkpoint.path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in checkpoint.shapes if name.startswith(wanted)}
    networks = _networks(checkpoint, configs, tensors, dtype)
    check_finite_weights(networks, checkpoint.path)
    parts: dict[str, Any] = {**networks, **tokenizers, "scheduler": _scheduler(checkpoint)}
    if checkpoint.family == "sdxl":
        return StableDiffusionXLPipeline(**parts, add_watermarker=False)
    absent = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return StableDiffusionPipeline(**parts, **absent)


def _networks(
    checkpoint: Checkpoint, configs: tuple[Config, ...], tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> dict[str, nn.Module]:
    names = ("text_encoder", "text_encoder_2")
    unet, vae = unet_config(checkpoint), vae_config(checkpoint) | _latent_statistics(checkpoint, tensors)
    with init_empty_weights(include_buffers=False):
        empty: dict[str, nn.Module] = {
            "unet": UNet2DConditionModel.from_config(unet),
            "vae": AutoencoderKL.from_config(vae),
        }
        for index, config in enumerate(configs):
            kind = CLIPTextModelWithProjection if index else CLIPTextModel
            empty[names[index]] = kind(CLIPTextConfig(**config))
    own = {name: x for name, x in tensors.items() if name.startswith(UNET)}
    weights = {
        "unet": convert_ldm_unet_checkpoint(own, unet),
        "vae": convert_ldm_vae_checkpoint({name: x for name, x in tensors.items() if name.startswith(VAE)}, vae),
    }
    for index, (prefix, config) in enumerate(zip(TEXT[checkpoint.family], configs, strict=True)):
        inner = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
        flat = text_weights(inner, config["num_hidden_layers"], projection=bool(index))
        weights[names[index]] = {_named(name, bool(index)): x for name, x in flat.items()}
    return {name: _filled(network, name, weights[name], checkpoint, dtype) for name, network in empty.items()}


def _named(path: str, projection: bool) -> str:
    """Return a path in the class of transformers: only the one with a projection has an inner text model."""
    return f"text_model.{path}" if projection and not path.startswith("text_projection.") else path


def _filled(
    network: nn.Module, name: str, weights: Mapping[str, Tensor], checkpoint: Checkpoint, dtype: torch.dtype
) -> nn.Module:
    """Give an empty network its weights."""
    try:
        network.load_state_dict({path: x.to(dtype) for path, x in weights.items()}, strict=True, assign=True)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:300]
        raise ModelError(
            f'The tensors of the {name} in "{checkpoint.path}" do not fit: the file is damaged, or of a kind that is '
            f"not known. Get it again, or the model as a folder in diffusers' format. ({what})"
        ) from error
    return network.eval()


def _latent_statistics(checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> Config:
    if not checkpoint.is_playground:
        return {}
    return {
        "latents_mean": tensors["edm_mean"].flatten().tolist(),
        "latents_std": tensors["edm_std"].flatten().tolist(),
    }


def _scheduler(checkpoint: Checkpoint) -> SchedulerMixin:
    """Return the scheduler that a family's original comes with, or the one for few steps that the name asks for."""
    if checkpoint.is_playground:
        return EDMDPMSolverMultistepScheduler()
    predicts = checkpoint.prediction_type
    if predicts is None and checkpoint.family == "sd2":
        predicts = "v_prediction"
        logger.info(
            'The file "%s" does not say what its UNet predicts, and is taken for Stable Diffusion 2.1. If its images '
            "are noise, put the YAML file of the model beside it.", checkpoint.path.name,
        )  # fmt: skip
    more: dict[str, Any] = {"prediction_type": predicts or "epsilon"}
    if checkpoint.zero_terminal_snr:
        more |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    elif (few := scheduler_for_name(checkpoint.path.name)) is not None:
        return few.kind(**BETAS, **more, **few.options)
    if checkpoint.family == "sdxl":
        return EulerDiscreteScheduler(**{**OFFSET, "timestep_spacing": "leading", **more})
    if more["prediction_type"] == "v_prediction":
        return DDIMScheduler(**OFFSET, **more, clip_sample=False, set_alpha_to_one=False)
    return PNDMScheduler(**OFFSET, **more, skip_prk_steps=True, set_alpha_to_one=False)
