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
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self

import torch
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DConditionModel
from torch import Tensor

from mmdiff_core.backbones.merged_weights import MergedWeights
from mmdiff_core.backbones.processors import (
    LayerSizes,
    check_no_ip_adapter,
    install,
    is_installed,
    layer_sizes,
    uninstall,
)
from mmdiff_core.backbones.schedulers import begins_step, step_of
from mmdiff_core.errors import ModelError
from mmdiff_core.generation.conditioning import Conditions
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition, LayerCondition
from mmdiff_core.types import GenerateRequest

TEXT_INPUTS = ("prompt_embeds", "add_text_embeds")  # what a callback may replace of the text
StepCallback = Callable[[DiffusionPipeline, int, Tensor, dict[str, Any]], dict[str, Any]]


class Attachment:
    """Attention processors of ours in a stock pipeline's UNet, until :meth:`detach`; also a context manager.

    A call of the pipeline without a condition stays the stock one, bit for bit.

    Args:
        pipe: the pipeline.
        conditions: from a request to what conditions its steps in this pipeline's networks.
        weights: what those conditions merge with the UNet.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        conditions: Callable[[GenerateRequest], Conditions],
        weights: MergedWeights,
    ) -> None:
        self.pipe = pipe
        self.weights = weights
        self._conditions = conditions
        _check_arguments(pipe)
        install(pipe.unet)
        self._stock = _stock_processors(pipe.unet)

    def condition(self, request: GenerateRequest) -> PipelineCondition:
        """Read a request and encode its prompt and photos, for calls of the pipeline with any seed.

        For image to image and inpainting give the request the size of the image. LoRAs that the pipeline has loaded
        by now are taken into account; load others, and make a new condition.

        Raises:
            MMDiffError: as ``Personalizer.plan``; and if the pipeline has an IP-Adapter, or cannot switch delayed
                merging over or hand out the maps that the request wants.
        """
        conditions = self._conditions(request)
        if _follows_steps(conditions) and "callback_on_step_end" not in _arguments_of(self.pipe):
            raise ModelError(
                f"A {type(self.pipe).__name__} does not report its steps: give the request recording=None and "
                "start_step=0."
            )
        return PipelineCondition(self, conditions)

    def make_ready(self) -> None:
        """Put our processors back where other code has set others since, such as those of attention slicing.

        Raises:
            ModelError: the pipeline was detached, or has an IP-Adapter.
        """
        check_no_ip_adapter(self.pipe.unet)
        if not is_installed(self.pipe.unet):
            if _stock_processors(self.pipe.unet) == self._stock:
                raise ModelError(DETACHED)
            install(self.pipe.unet)
            self._stock = _stock_processors(self.pipe.unet)

    def detach(self) -> None:
        """Put back the processors that the pipeline had before any of ours, so that it is a stock one.

        Other attachments to the same networks end with it.
        """
        uninstall(self.pipe.unet)
        self._stock = _stock_processors(self.pipe.unet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.detach()


class PipelineCondition:
    """What to call a stock pipeline with, and the maps of that call."""

    def __init__(self, attached: Attachment, conditions: Conditions) -> None:
        self._attached = attached
        self._pipe = attached.pipe
        self._conditions = conditions
        self._merged = attached.weights.current()
        self._run: PipelineRun | None = None

    def pipeline_kwargs(
        self,
        seed: int | None = None,
        strength: float | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> dict[str, Any]:
        """Return keyword arguments for one call of the pipeline; add its own, such as ``image``.

        They hold the encoded prompts, the numbers of the request, the subjects for the attention layers, and a step
        callback that switches delayed merging over and collects the maps.

        Args:
            seed: of the noise; the first of the request by default.
            strength: of image to image and inpainting, which leave the first steps out where it is below 1. Delayed
                merging counts those, too.
            callback_on_step_end: a callback of your own, called after ours.
            callback_on_step_end_tensor_inputs: the tensors that it wants.

        Raises:
            ModelError: the pipeline was detached, or has no ``strength`` or no step callback; and in the call, if the
                arguments have made an image already, if another callback has replaced ours, if LoRAs were changed
                since the condition was made, or if delayed merging does not know which steps are left out.
        """
        self._attached.make_ready()
        known = _arguments_of(self._pipe)
        if strength is not None and "strength" not in known:
            raise ModelError(f"A {type(self._pipe).__name__} has no strength: leave it out.")
        if self._conditions.plan.numbers.guidance_rescale and "guidance_rescale" not in known:
            raise ModelError(f"A {type(self._pipe).__name__} has no guidance_rescale: leave it out of the request.")
        if callback_on_step_end is not None and "callback_on_step_end" not in known:
            raise ModelError(f"A {type(self._pipe).__name__} has no callback_on_step_end: leave it out.")
        numbers, height, width = self._conditions.plan.numbers, *self._latent_size()
        sizes, left_out = layer_sizes(self._pipe.unet, height, width), self._left_out(strength)
        run = PipelineRun(self._conditions, sizes, self._pipe.scheduler, self._check_unet, left_out)
        self._run = run
        asked = list(getattr(callback_on_step_end, "tensor_inputs", callback_on_step_end_tensor_inputs))
        text = [x for x in TEXT_INPUTS if x in getattr(self._pipe, "_callback_tensor_inputs", ())]
        wanted = text if callback_on_step_end is None else list(dict.fromkeys([*text, *asked]))
        given = {
            **text_arguments(run.condition),
            "guidance_scale": numbers.guidance,
            "num_inference_steps": numbers.steps,
            "width": numbers.width,
            "height": numbers.height,
            "generator": torch.Generator().manual_seed(numbers.seed if seed is None else seed),
            "cross_attention_kwargs": {"mmdiff": run},
            "callback_on_step_end": run.end_step if callback_on_step_end is None else run.ending(callback_on_step_end),
            "callback_on_step_end_tensor_inputs": wanted,
        }
        given |= {} if strength is None else {"strength": strength}
        given |= {"guidance_rescale": numbers.guidance_rescale} if numbers.guidance_rescale else {}
        return {name: value for name, value in given.items() if name in known}

    @property
    def maps(self) -> AttentionMaps | None:
        """Return the maps of the last call; None if the request records none."""
        return None if self._run is None else self._run.maps

    def _check_unet(self) -> None:
        """Check, in the call, that the UNet is the one that the condition was made for."""
        if self._attached.weights.current() is not self._merged:
            raise ModelError(
                "The pipeline's LoRAs were loaded, scaled or unloaded after the condition was made: make it again, and "
                "scale LoRAs by set_adapters, not in the call."
            )

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

    It stands in the place of a ``processors.Call``, whose fields it has. A pipeline counts evaluations of the UNet,
    of which some solvers make several a step. ``left_out`` are timesteps of the schedule before the call's first;
    ``check_unet`` is called in the first forward.
    """

    def __init__(
        self,
        conditions: Conditions,
        sizes: LayerSizes,
        scheduler: SchedulerMixin,
        check_unet: Callable[[], None],
        left_out: int = 0,
    ) -> None:
        self._left_out, self._scheduler, self._check_unet = left_out, scheduler, check_unet
        self._plan, self._plain, self._personal = conditions.plan, conditions.plain, conditions.personal
        self._must_end = _follows_steps(conditions)
        self.sizes = sizes
        self._recorder = None if self._plan.recording is None else Recorder(self._plan.recording)
        self.maps = None if self._recorder is None else self._plan.no_maps
        self._begin(0)

    @property
    def condition(self) -> Condition:
        """Return the condition of the next evaluation."""
        step = step_of(self._scheduler, self._left_out + self._evaluation)
        return self._plain if step < self._plan.numbers.start_step else self._personal

    @property
    def recorder(self) -> Recorder | None:
        """Return the recorder, for the first evaluation of a step alone."""
        return self._recorder if begins_step(self._scheduler, self._left_out + self._evaluation) else None

    def layer(self, path: str) -> LayerCondition | None:
        """Return what a layer needs in this evaluation; a second visit means that the first has never ended."""
        if not self._evaluation and not self._visited:
            self._check_unet()
        if path in self._visited and self._must_end:
            raise ModelError(
                "Another callback_on_step_end has taken the place of the condition's: give yours to the condition, as "
                "in pipeline_kwargs(callback_on_step_end=...)."
            )
        self._visited.add(path)
        return self.condition.layers.get(path)

    def end_step(
        self, pipe: DiffusionPipeline, index: int, timestep: Tensor, tensors: dict[str, Any]
    ) -> dict[str, Tensor]:
        """Keep the maps and, when the photos join, switch the text; the pipeline's ``callback_on_step_end``."""
        if index == 0:
            self._check_call(pipe, timestep)
        before = self.condition
        if self.recorder is not None and self.maps is not None:
            self.maps = self.maps.with_step(self._step, self.recorder.seal(), before)
        self._begin(index + 1)
        if self.condition is before:
            return {}
        values = {"prompt_embeds": self.condition.text.states, "add_text_embeds": self.condition.text.pooled}
        # In place, since some pipelines hand tensors to a callback and never look at what it returns.
        return {name: tensors[name].copy_(x) for name, x in values.items() if name in tensors and x is not None}

    def ending(self, then: StepCallback) -> StepCallback:
        """Return :meth:`end_step` with a caller's own callback after it."""

        def both(pipe: DiffusionPipeline, index: int, timestep: Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
            ours = self.end_step(pipe, index, timestep, tensors)
            return ours | then(pipe, index, timestep, tensors | ours)

        return both

    def _check_call(self, pipe: DiffusionPipeline, timestep: Tensor) -> None:
        """Check, at the end of the first step, that the call is the one that was prepared."""
        if self._evaluation:
            raise ModelError("These arguments have made an image already: call pipeline_kwargs() for each call.")
        if not is_installed(pipe.unet):
            raise ModelError(DETACHED)
        schedule = pipe.scheduler.timesteps
        if self._plan.numbers.start_step and timestep != schedule[min(self._left_out, len(schedule) - 1)]:
            raise ModelError(
                "The call leaves other steps out than the condition, whose photos join late: give the strength to "
                "pipeline_kwargs, as in pipeline_kwargs(strength=0.6), or the request a start_step of 0."
            )

    @property
    def _step(self) -> int:
        """Return the step of the next evaluation, counted from the call's first."""
        first, now = self._left_out, self._left_out + self._evaluation
        return step_of(self._scheduler, now) - step_of(self._scheduler, first)

    def _begin(self, evaluation: int) -> None:
        self._evaluation = evaluation
        self._visited: set[str] = set()
        if self.recorder is not None:
            self.recorder.begin_step(self._step)


DETACHED = (
    "The pipeline was detached, or has been given other attention processors, so that it would show no photo: attach "
    "it again, and call pipeline_kwargs() for each call."
)


def _follows_steps(conditions: Conditions) -> bool:
    """Whether something happens at the end of a step: maps are kept, or the photos join."""
    return conditions.plan.recording is not None or conditions.plan.numbers.start_step > 0


def _arguments_of(pipe: DiffusionPipeline) -> Collection[str]:
    return inspect.signature(pipe.__call__).parameters


def _check_arguments(pipe: DiffusionPipeline) -> None:
    """Check that a pipeline passes on what a condition consists of."""
    missing = [x for x in ("prompt_embeds", "cross_attention_kwargs") if x not in _arguments_of(pipe)]
    if missing:
        raise ModelError(f"A {type(pipe).__name__} takes no {' and no '.join(missing)}, so it can show no photo.")


def _stock_processors(unet: UNet2DConditionModel) -> dict[str, object]:
    """Return the processors of each layer that are not ours, or that ours stand before."""
    return {path: getattr(processor, "stock", processor) for path, processor in unet.attn_processors.items()}


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
