"""Tiny stock pipelines of every kind, and a call of each."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import ControlNetModel, DiffusionPipeline, UNet2DConditionModel
from PIL import Image

from tests.helpers import tiny

PROMPT = "a cat next to a robot on the beach"
PICTURE = tiny.photo(20, (40, 24))
MASK = Image.new("L", (40, 24), 0)
MASK.paste(255, (0, 0, 20, 24))

Call = dict[str, Any]
# What each kind of pipeline wants beside the condition.
KINDS: dict[str, tuple[str, Call]] = {
    "sd": ("StableDiffusionPipeline", {}),
    "sd img2img": ("StableDiffusionImg2ImgPipeline", {"image": PICTURE, "strength": 1.0}),
    "sd inpaint": ("StableDiffusionInpaintPipeline", {"image": PICTURE, "mask_image": MASK, "strength": 1.0}),
    "sd inpaint 9 channels": (
        "StableDiffusionInpaintPipeline",
        {"image": PICTURE, "mask_image": MASK, "strength": 1.0},
    ),
    "sd controlnet": ("StableDiffusionControlNetPipeline", {"image": PICTURE}),
    "sdxl": ("StableDiffusionXLPipeline", {}),
    "sdxl img2img": ("StableDiffusionXLImg2ImgPipeline", {"image": PICTURE, "strength": 1.0}),
    "sdxl inpaint": ("StableDiffusionXLInpaintPipeline", {"image": PICTURE, "mask_image": MASK, "strength": 1.0}),
    "sdxl controlnet": ("StableDiffusionXLControlNetPipeline", {"image": PICTURE}),
    "sdxl controlnet inpaint": (
        "StableDiffusionXLControlNetInpaintPipeline",
        {"image": PICTURE, "mask_image": MASK, "control_image": PICTURE, "strength": 1.0},
    ),
}


def open_kind(kind: str) -> DiffusionPipeline:
    """Return a tiny stock pipeline, always with the same weights."""
    base = tiny.stable_diffusion_xl() if kind.startswith("sdxl") else tiny.stable_diffusion()
    parts = dict(base.components)
    if "9 channels" in kind:
        torch.manual_seed(3)
        parts["unet"] = UNet2DConditionModel.from_config({**base.unet.config, "in_channels": 9})
    if "controlnet" in kind:
        torch.manual_seed(4)
        parts["controlnet"] = ControlNetModel.from_unet(
            base.unet, conditioning_embedding_out_channels=(8, 16), load_weights_from_unet=True
        )
        for layer in parts["controlnet"].controlnet_down_blocks:
            torch.nn.init.normal_(layer.weight, std=0.1)
    if "inpaint" in kind or "img2img" in kind or "controlnet" in kind:
        parts |= {"requires_safety_checker": False} if not kind.startswith("sdxl") else {"add_watermarker": False}
    if "sdxl" in kind and "img2img" not in kind and "inpaint" not in kind:
        parts["add_watermarker"] = False
    pipe = base if kind in ("sd", "sdxl") else getattr(diffusers, KINDS[kind][0])(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pixels(pipe: DiffusionPipeline, call: Call) -> np.ndarray:
    """Return the first image of a call."""
    return np.asarray(pipe(**call).images[0], dtype=int)


def plain_call(kind: str) -> Call:
    """Return a call without any subject."""
    size = {} if kind == "sd img2img" or kind == "sdxl img2img" else {"width": 40, "height": 24}
    return {
        "prompt": PROMPT,
        "negative_prompt": "snow",
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "generator": torch.Generator().manual_seed(5),
        **size,
        **KINDS[kind][1],
    }
