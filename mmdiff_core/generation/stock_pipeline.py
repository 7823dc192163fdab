"""MM-Diff in any stock pipeline of diffusers, which goes on doing its own work: ControlNet, inpainting, image to image.

::

    with personalizer.attach(pipe) as attached:
        condition = attached.condition(request)
        image = pipe(**condition.pipeline_kwargs(), image=edges).images[0]
        condition.maps.at("cat", "image")

Nothing about a request is kept on the pipeline: all of it travels in the keyword arguments of the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from mmdiff_core.backbones.processors import LayerSizes, install, is_installed, layer_sizes, uninstall
from mmdiff_core.errors import ModelError
from mmdiff_core.generation.conditioning import Conditions
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition
from mmdiff_core.types import GenerateRequest

TEXT_INPUTS = (
    "prompt_embeds",
    "add_text_embeds",
)  # what a callback may replace of the text


class Attachment:
    """Attention processors of ours in a stock pipeline's UNet, until :meth:`detach`; also a context manager.

    A call of the pipeline without a condition stays the stock one, bit for bit.

    Args:
        pipe: the pipeline.
        conditions: from a request to what conditions its steps in this pipeline's networks.
    """

    def __init__(self, pipe: DiffusionPipeline, conditions: Callable[[GenerateRequest], Conditions]) -> None:
        self.pipe = pipe
        self._conditions = conditions
        install(pipe.unet)

    def condition(self, request: GenerateRequest) -> PipelineCondition:
        """Read a request and encode its prompt and photos, for calls of the pipeline with any seed.

        For image to image and inpainting give the request the size of the image. LoRAs that the pipeline has loaded
        by now are taken into account; load others, and make a new condition.

        Raises:
            MMDiffError: as ``Personalizer.plan``.
        """
        return PipelineCondition(self.pipe, self._conditions(request))

    def detach(self) -> None:
        """Put back the processors that the pipeline had before any of ours, so that it is a stock one.

        Other attachments to the same networks end with it.
        """
        uninstall(self.pipe.unet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()


class PipelineCondition:
    """What to call a stock pipeline with, and the maps of that call."""

    def __init__(self, pipe: DiffusionPipeline, conditions: Conditions) -> None:
        self._pipe = pipe
        self._conditions = conditions
        self._run: PipelineRun | None = None

    def pipeline_kwargs(self, seed: int | None = None, strength: float | None = None) -> dict[str, Any]:
        """Return keyword arguments for one call of the pipeline; add its own, such as ``image``.

        They hold the encoded prompts, the numbers of the request, the subjects for the attention layers, and a step
        callback that switches delayed merging over and collects the maps.

        Args:
            seed: of the noise; the first of the request by default.
            strength: of image to image and inpainting, which leave the first steps out where it is below 1. Delayed
                merging counts those, too.

        Raises:
            ModelError: the pipeline was detached, or has no ``strength``; and in the call, if the arguments have made
                an image already, or if delayed merging does not know which steps are left out.
        """
        _check_attached(self._pipe)
        known = inspect.signature(self._pipe.__call__).parameters
        if strength is not None and "strength" not in known:
            raise ModelError(f"A {type(self._pipe).__name__} has no strength: leave it out.")
        numbers, height, width = self._conditions.plan.numbers, *self._latent_size()
        sizes, left_out = layer_sizes(self._pipe.unet, height, width), self._left_out(strength)
        self._run = PipelineRun(self._conditions, sizes, left_out)
        given = {
            **text_arguments(self._run.condition),
            "guidance_scale": numbers.guidance,
            "num_inference_steps": numbers.steps,
            "width": numbers.width,
            "height": numbers.height,
            "generator": torch.Generator().manual_seed(numbers.seed if seed is None else seed),
            "cross_attention_kwargs": {"mmdiff": self._run},
            "callback_on_step_end": self._run.end_step,
            "callback_on_step_end_tensor_inputs": [x for x in TEXT_INPUTS if x in self._pipe._callback_tensor_inputs],
        }
        given |= {} if strength is None else {"strength": strength}
        return {name: value for name, value in given.items() if name in known}

    @property
    def maps(self) -> AttentionMaps | None:
        """Return the maps of the last call; None if the request records none."""
        return None if self._run is None else self._run.maps

    def _left_out(self, strength: float | None) -> int:
        """Return how many timesteps a call of that strength skips, as stock pipelines count them."""
        steps = self._conditions.plan.numbers.steps
        run = steps if strength is None else min(int(steps * strength), steps)
        return (steps - run) * int(self._pipe.scheduler.order)

    def _latent_size(self) -> tuple[int, int]:
        numbers, scale = self._conditions.plan.numbers, 2 ** (len(self._pipe.vae.config.block_out_channels) - 1)
        return numbers.height // scale, numbers.width // scale


class PipelineRun:
    """One call of a stock pipeline: what its next step is conditioned on, and the maps so far.

    It stands in the place of a ``processors.Call``, whose fields it has. ``left_out`` are timesteps of the schedule
    before the call's first.
    """

    def __init__(self, conditions: Conditions, sizes: LayerSizes, left_out: int = 0) -> None:
        self._left_out = left_out
        self._plan, self._plain, self._personal = conditions.plan, conditions.plain, conditions.personal
        self.sizes = sizes
        self.recorder = None if self._plan.recording is None else Recorder(self._plan.recording)
        self.maps = None if self.recorder is None else self._plan.no_maps
        self._begin(0)

    @property
    def condition(self) -> Condition:
        """Return the condition of the next step."""
        return self._plain if self._left_out + self._step < self._plan.numbers.start_step else self._personal

    def end_step(
        self, pipe: DiffusionPipeline, index: int, timestep: Tensor, tensors: Mapping[str, Any]
    ) -> dict[str, Tensor]:
        """Keep the maps and, when the photos join, switch the text; the pipeline's ``callback_on_step_end``."""
        if index == 0:
            self._check_call(pipe, timestep)
        before = self.condition
        if self.recorder is not None and self.maps is not None:
            self.maps = self.maps.with_step(index, self.recorder.seal(), before)
        self._begin(index + 1)
        if self.condition is before:
            return {}
        values = {"prompt_embeds": self.condition.text.states, "add_text_embeds": self.condition.text.pooled}
        return {name: x.to(tensors[name].dtype) for name, x in values.items() if name in tensors and x is not None}

    def _check_call(self, pipe: DiffusionPipeline, timestep: Tensor) -> None:
        """Check, at the end of the first step, that the call is the one that was prepared."""
        if self._step:
            raise ModelError("These arguments have made an image already: call pipeline_kwargs() for each call.")
        _check_attached(pipe)
        schedule = pipe.scheduler.timesteps
        if self._plan.numbers.start_step and timestep != schedule[min(self._left_out, len(schedule) - 1)]:
            raise ModelError(
                "The call leaves other steps out than the condition, whose photos join late: give the strength to "
                "pipeline_kwargs, as in pipeline_kwargs(strength=0.6), or the request a start_step of 0."
            )

    def _begin(self, step: int) -> None:
        self._step = step
        if self.recorder is not None:
            self.recorder.begin_step(step)


def _check_attached(pipe: DiffusionPipeline) -> None:
    if not is_installed(pipe.unet):
        raise ModelError("The pipeline was detached, so that it would show no photo: attach it again.")


def text_arguments(condition: Condition) -> dict[str, Tensor]:
    """Return the encoded prompts as a stock pipeline takes them, unconditional and conditional apart."""
    conditional, text = condition.conditional, condition.text
    given = {"prompt_embeds": text.states[conditional]}
    if text.pooled is not None:
        given["pooled_prompt_embeds"] = text.pooled[conditional]
    if not bool(conditional.all()):
        given["negative_prompt_embeds"] = text.states[~conditional]
        if text.pooled is not None:
            given["negative_pooled_prompt_embeds"] = text.pooled[~conditional]
    return given
