"""The one denoising loop: a generator, so that progress is iteration and closing it cancels."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import PNDMScheduler, SchedulerMixin
from PIL import Image
from torch import Tensor

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.schedulers import begins_step, change_solver, is_edm, step_of
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition
from mmdiff_core.numeric_checks import check_latents


@dataclass(frozen=True)
class SampleSettings:
    """The numbers of one image, all of them decided."""

    seed: int
    steps: int
    guidance: float
    start_step: int
    width: int
    height: int
    scheduler: str | None = None  # the model's own
    guidance_rescale: float = 0.0
    left_out: int = 0  # first steps that are not made, because the image starts from another one

    @property
    def made(self) -> int:
        """Return how many steps are made."""
        return self.steps - self.left_out


@dataclass(frozen=True)
class Sample:
    """One step of the loop."""

    step: int  # 1 .. steps
    steps: int  # that are made
    latents: Tensor  # (1, c, h, w) after the step
    clean: Tensor  # (1, c, h, w) the image as the model expects it at this step, for previews
    maps: AttentionMaps | None  # of all steps so far


@torch.no_grad()
def sample(
    backbone: Backbone,
    plain: Condition,
    personal: Condition,
    settings: SampleSettings,
    recorder: Recorder | None = None,
    maps: AttentionMaps | None = None,
    latents: Tensor | None = None,
    image: Image.Image | None = None,
) -> Iterator[Sample]:
    """Denoise one image.

    Args:
        backbone: the model.
        plain: conditions the first ``start_step`` steps (delayed merging, section 3.4).
        personal: conditions the others. Either is a batch [unconditional, conditional] or the conditional row alone.
        settings: the numbers of this image.
        recorder: records the maps of every step into ``maps``.
        maps: an empty value to start from; None: the recorder itself keeps what it records.
        latents: noise (1, c, h, w) to start from instead of the seed's.
        image: of the size in the settings, to start from: noised as it is after the first ``left_out`` steps.

    Yields one sample a step, however often the solver evaluates the network for it.

    Raises:
        GenerationError: the latents of a step are no longer numbers.
    """
    scheduler = change_solver(backbone.fresh_scheduler(), settings.scheduler)
    if image is not None and isinstance(scheduler, PNDMScheduler):  # which can only start at its first step
        scheduler = change_solver(scheduler, "ddim")
    scheduler.set_timesteps(settings.steps, device=backbone.device)
    generator = torch.Generator().manual_seed(settings.seed)  # schedulers that add noise draw on from it
    options = _step_options(scheduler, generator)
    start = None if image is None else backbone.encode(image, generator)
    if latents is None:
        latents = backbone.draw_noise(generator, settings.width, settings.height)
    first, last = settings.left_out * int(scheduler.order), len(scheduler.timesteps) - 1
    latents = latents * scheduler.init_noise_sigma if start is None else _noised(scheduler, start, latents, first)
    left_out, steps = step_of(scheduler, first), step_of(scheduler, last) + 1
    for index in range(first, last + 1):
        timestep = scheduler.timesteps[index]
        step, begins = step_of(scheduler, index), begins_step(scheduler, index)
        watching = recorder if begins else None  # a step's maps are those at its own timestep
        condition = plain if step < settings.start_step else personal
        noisy = scheduler.scale_model_input(latents, timestep)
        if watching is not None:
            watching.begin_step(step - left_out)
        prediction = backbone.predict_noise(
            noisy.repeat(len(condition.conditional) // len(noisy), 1, 1, 1), timestep, condition, watching
        )
        if watching is not None:
            layers = watching.seal()
            maps = None if maps is None else maps.with_step(step - left_out, layers, condition)
        prediction = apply_guidance(prediction, condition.conditional, settings.guidance, settings.guidance_rescale)
        clean = expected_clean(scheduler, prediction, noisy, timestep)
        latents = scheduler.step(prediction, timestep, latents, **options).prev_sample
        check_latents(latents, step + 1, backbone.unet)
        if index == last or begins_step(scheduler, index + 1):
            yield Sample(step + 1 - left_out, steps - left_out, latents, clean, maps)


def _noised(scheduler: SchedulerMixin, start: Tensor, noise: Tensor, first: int) -> Tensor:
    """Return latents (1, c, h, w) as they are before the evaluation ``first``; the scheduler goes on from there."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    noised: Tensor = scheduler.add_noise(start, noise, scheduler.timesteps[first : first + 1])
    return noised


def apply_guidance(prediction: Tensor, conditional: Tensor, guidance: float, rescale: float = 0.0) -> Tensor:
    """Apply classifier-free guidance to [unconditional, conditional] -> (1, c, h, w); a row alone stays as it is.

    ``rescale``, from 0 to 1, brings the result back to the standard deviation of the conditional row.
    """
    if bool(conditional.all()):
        return prediction
    without, with_text = prediction.chunk(2)
    guided = without + guidance * (with_text - without)
    if not rescale:
        return guided
    own, wanted = (x.std(dim=(1, 2, 3), keepdim=True) for x in (guided, with_text))
    return rescale * (guided * (wanted / own)) + (1 - rescale) * guided


def expected_clean(scheduler: SchedulerMixin, prediction: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
    """Return the noise-free latents that a prediction implies, for any scheduler.

    ``noisy`` is the network's own input, which is on the same scale whatever the scheduler: x = sqrt(a) x0 +
    sqrt(1 - a) e for diffusion, x = (1 - s) x0 + s e for a flow, x = (x0 + s e) / sqrt(s^2 + d^2) for EDM.
    """
    kind, length = scheduler.config.prediction_type, int(scheduler.config.num_train_timesteps)
    if kind == "sample":
        return prediction
    if kind == "flow_prediction":
        return noisy - timestep / length * prediction
    if is_edm(scheduler):
        sigma = (4 * timestep.float()).exp().cpu()  # the timestep is a quarter of its logarithm
        unscaled = noisy * (sigma**2 + scheduler.config.sigma_data**2) ** 0.5
        clean: Tensor = scheduler.precondition_outputs(unscaled, prediction, sigma)
        return clean.to(noisy)
    kept: Tensor = scheduler.alphas_cumprod[timestep.round().long().cpu()].to(noisy)
    if kind == "v_prediction":
        return kept.sqrt() * noisy - (1 - kept).sqrt() * prediction
    return (noisy - (1 - kept).sqrt() * prediction) / kept.sqrt()


def _step_options(scheduler: SchedulerMixin, generator: torch.Generator) -> dict[str, object]:
    """Return what a stock pipeline gives its scheduler: the generator and an eta of 0, where it takes them."""
    known = inspect.signature(scheduler.step).parameters
    return {name: value for name, value in {"generator": generator, "eta": 0.0}.items() if name in known}
