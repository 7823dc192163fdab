"""Queries and keys as a UNet computes them, and the steps that it computes them in.

Forward hooks on the projections: whatever processor computes the attention, stock, sliced or another, is left alone,
and so is every number of the image. A LoRA is in what they see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from diffusers import SchedulerMixin, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mmdiff_core.backbones.schedulers import begins_step, step_of
from mmdiff_core.errors import ModelError

TakeKeys = Callable[[str, Tensor, Tensor], None]
BeginForward = Callable[[Tensor, Tensor, Tensor], None]


class AttentionTap:
    """Hooks in a UNet, until :meth:`close`.

    Args:
        unet: stock, or with processors of its own.
        paths: the attention layers to look at.
        begin: called before each forward with its latents (B, c, h, w), timestep and encoded prompt (B, T, D).
        take: called for each layer with its path, query (B, L, width) and key (B, T, width).
        end: called after each forward.

    Raises:
        ModelError: the projections of the layers are fused.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        paths: Sequence[str],
        begin: BeginForward,
        take: TakeKeys,
        end: Callable[[], None],
    ) -> None:
        self._handles: list[RemovableHandle] = []
        self._queries: dict[str, Tensor] = {}
        self._begin, self._take, self._end = begin, take, end
        layers: dict[str, Any] = {path: unet.get_submodule(path) for path in paths}
        if any(getattr(layer, "fused_projections", False) for layer in layers.values()):
            raise ModelError("The attention layers have fused projections: call unfuse_qkv_projections() first.")
        self._handles.append(unet.register_forward_pre_hook(self._before, with_kwargs=True))
        for path, layer in layers.items():
            self._handles.append(layer.to_q.register_forward_hook(self._on_query(path)))
            self._handles.append(layer.to_k.register_forward_hook(self._on_key(path)))
        self._handles.append(unet.register_forward_hook(self._after))

    def close(self) -> None:
        """Remove every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _before(self, unet: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._queries.clear()
        named = dict(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False)) | dict(kwargs)
        self._begin(named["sample"], named["timestep"], named["encoder_hidden_states"])

    def _after(self, unet: nn.Module, args: tuple[Any, ...], output: object) -> None:
        self._end()

    def _on_query(self, path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            self._queries[path] = output.detach()

        return hook

    def _on_key(self, path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """Processors ask for the query first; a key without one is not of this forward's attention."""

        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            query = self._queries.pop(path, None)
            if query is not None:
                self._take(path, query, output.detach())

        return hook


class StepCounter:
    """Tells the steps of one call of a pipeline from its evaluations of the network, of which some are second ones.

    Args:
        scheduler: of the pipeline, with its timesteps set.
        timestep: of the first evaluation.
    """

    def __init__(self, scheduler: SchedulerMixin, timestep: float) -> None:
        self._scheduler = scheduler
        self._next = self._first = _first_evaluation(scheduler, timestep)

    @property
    def steps(self) -> int:
        """Return how many steps the call makes."""
        return self._step_of(len(self._scheduler.timesteps) - 1) + 1

    def count(self, timestep: float) -> int | None:
        """Return the step, from 0, that an evaluation begins; None if it is a further one of its step.

        Raises:
            ModelError: the network is not evaluated once per timestep in turn.
        """
        evaluation, self._next = self._next, self._next + 1
        known = self._scheduler.timesteps
        if evaluation >= len(known) or float(known[evaluation]) != timestep:
            raise ModelError(
                "The pipeline evaluates the UNet in another order than its scheduler's, so that no step can be told "
                "from another: its attention cannot be recorded."
            )
        return self._step_of(evaluation) if begins_step(self._scheduler, evaluation) else None

    def _step_of(self, evaluation: int) -> int:
        return step_of(self._scheduler, evaluation) - step_of(self._scheduler, self._first)


def _first_evaluation(scheduler: SchedulerMixin, timestep: float) -> int:
    """Return where in the schedule a call begins: image to image leaves the first steps out."""
    known = scheduler.timesteps
    begin = getattr(scheduler, "begin_index", None)
    if begin is not None and begin < len(known) and float(known[begin]) == timestep:
        return int(begin)
    alike = [i for i in range(len(known)) if float(known[i]) == timestep]
    return next((i for i in alike if begins_step(scheduler, i)), alike[0] if alike else 0)
