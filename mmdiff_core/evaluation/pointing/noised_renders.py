"""Attention on rendered scenes, where it is known to the pixel which subject is where.

A generated image has no exact mask. So the scene is rendered and encoded, noise is added as in training, and the
network is asked once per noise level, with the scene's prompt and its toys' photos: the maps are those of a step at
that level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.types import GenerateRequest, Recording, Subject


@dataclass(frozen=True)
class PointedScene:
    """A rendered scene with its maps, heads apart, and the exact masks."""

    case: ToyboxCase
    maps: AttentionMaps
    masks: np.ndarray  # (S, H, W) bool
    latent_size: tuple[int, int]  # (h, w)


@torch.no_grad()
def point(personalizer: Personalizer, case: ToyboxCase) -> PointedScene:
    """Record the maps of a rendered scene at the noise level of every default step.

    Args:
        personalizer: a model of the rendered world.
        case: the scene, and the scenes of the photos; its number is the seed of the noise.
    """
    backbone, (width, height) = personalizer.backbone, personalizer.sizes.default
    rendered = render([case.scene], (height, width))
    conditions = personalizer.conditions(_request(personalizer, case))
    clean = _encode(backbone, rendered.images)
    noise = backbone.noise(case.number, width, height)
    scheduler = backbone.fresh_scheduler()
    scheduler.set_timesteps(conditions.plan.numbers.steps)
    maps, recorder = conditions.plan.no_maps, Recorder(conditions.plan.recording)
    for step, timestep in enumerate(scheduler.timesteps):
        noisy = scheduler.scale_model_input(scheduler.add_noise(clean, noise, timestep[None]), timestep)
        recorder.begin_step(step)
        backbone.predict_noise(noisy.to(backbone.device), timestep.to(backbone.device), conditions.personal, recorder)
        maps = maps.with_step(step, recorder.seal(), conditions.personal)
    return PointedScene(case, maps, rendered.masks[0].numpy(), (clean.shape[-2], clean.shape[-1]))


def _request(personalizer: Personalizer, case: ToyboxCase) -> GenerateRequest:
    """Return a request whose only row is the conditional one, and which records everything from the first step on."""
    width, height = personalizer.sizes.default
    photos = (tuple(map(to_image, render(views, (height, width)).images)) for views in case.views)
    subjects = tuple(Subject(name, own) for name, own in zip(case.scene.caption.names, photos, strict=True))
    return GenerateRequest(
        case.scene.caption.text, subjects, guidance=1.0, start_step=0, recording=Recording(per_head=True, words=True)
    )


def _encode(backbone: Backbone, images: Tensor) -> Tensor:
    """Return the latents (B, c, h, w) of images (B, 3, H, W) in [0, 1]."""
    latents: Tensor = backbone.vae.encode(images.to(backbone.device) * 2 - 1).latent_dist.mode()
    return latents.cpu() * backbone.vae.config.scaling_factor
