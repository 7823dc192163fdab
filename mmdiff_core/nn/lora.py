"""Low-rank updates of frozen linear layers (section 3.3), with peft's definition of the update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from peft import LoraConfig
from peft.tuners import lora
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from mmdiff_core.errors import ModelError

_NAME = "default"
M = TypeVar("M", bound=nn.Module)


class Lora(nn.Module):
    """The update ``dW = alpha / rank * B A`` of a frozen ``W`` (outputs, inputs) that lives elsewhere.

    peft's layer makes, initialises (``B = 0``) and multiplies the two factors, so that training, merging and export
    share one definition. The layer that it would wrap is left without a weight: ``W`` is never held or saved here.

    Args:
        inputs, outputs: width of what goes into and comes out of ``W``.
        rank: width of the bottleneck.
        alpha: numerator of the scale; None makes the scale 1.
    """

    def __init__(self, inputs: int, outputs: int, rank: int, alpha: float | None = None) -> None:
        super().__init__()
        frozen: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)  # type: ignore[no-untyped-call]
        scaling: Any = rank if alpha is None else alpha  # peft's annotation asks for an int, its arithmetic does not
        self.peft = lora.Linear(frozen, _NAME, LoraConfig(), r=rank, lora_alpha=scaling)
        frozen.register_parameter("weight", None)

    @property
    def factors(self) -> tuple[Tensor, Tensor]:
        """Return ``A`` (rank, inputs) and ``B`` (outputs, rank)."""
        down, up = (cast(nn.Linear, factors[_NAME]) for factors in (self.peft.lora_A, self.peft.lora_B))
        return down.weight, up.weight

    def delta(self) -> Tensor:
        """Return the update (outputs, inputs), differentiable, in the factors' precision even under autocast."""
        with torch.autocast(self.factors[0].device.type, enabled=False):
            update: Tensor = self.peft.get_delta_weight(_NAME)
            return update

    def add_to(self, weight: Tensor, scale: float = 1.0) -> Tensor:
        """Return ``W + scale * dW`` in W's precision; gradients reach both."""
        return (weight + scale * self.delta().to(weight.device)).to(weight.dtype)


def loaded_weight(linear: nn.Linear, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return W of a frozen layer, with the LoRAs that peft has loaded on top, such as those for few steps.

    Args:
        linear: the layer.
        dtype: of a weight that waits in 8 bits until the layer runs (layerwise casting); any other keeps its own.

    Raises:
        ModelError: one of the LoRAs adds more than a change of W.
    """
    if not isinstance(linear, BaseTunerLayer):
        return from_eight_bits(linear.weight, dtype)
    weight = from_eight_bits(linear.get_base_layer().weight, dtype)
    if linear.merged or linear.disable_adapters:
        return weight
    if not isinstance(linear, lora.LoraLayer):
        return _weight_of_forward(linear, weight)
    names = [name for name in linear.active_adapters if name in linear.lora_A]
    if any(name in linear.lora_variant or linear.lora_bias.get(name) for name in names):
        return _weight_of_forward(linear, weight)
    deltas = [linear.get_delta_weight(name) for name in names]
    return weight + sum(deltas).to(weight.dtype) if deltas else weight


def from_eight_bits(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return numbers of 8 bits, with which nothing can be computed, in a wider type; others as they are."""
    return values.to(dtype) if values.element_size() == 1 else values


@torch.no_grad()
def _weight_of_forward(linear: nn.Module, weight: Tensor) -> Tensor:
    """Return the weight (outputs, inputs) that a layer computes with, read from its answers to unit vectors.

    So DoRA, which scales the rows of W as well, and its relatives need no formula of their own here.
    """
    inputs = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)
    nothing = linear(torch.zeros_like(inputs[:1]))  # (1, outputs)
    bias = getattr(linear, "bias", None)
    if not torch.equal(nothing, torch.zeros_like(nothing) if bias is None else bias.expand_as(nothing).to(nothing)):
        raise ModelError("A LoRA with biases cannot be combined with subjects: unload it, or use one without.")
    answers: Tensor = linear(inputs) - nothing
    return answers.T.contiguous()


class PathDict(nn.Module, Generic[M]):
    """Modules kept under the dotted paths of another model, so that state-dict keys read like that model's own."""

    def __init__(self, modules: Mapping[str, M]) -> None:
        super().__init__()
        self.paths = tuple(modules)
        for path, module in modules.items():
            *parents, name = path.split(".")
            node: nn.Module = self
            for parent in parents:
                if parent not in node._modules:
                    node.add_module(parent, nn.Module())
                node = node.get_submodule(parent)
            node.add_module(name, module)

    def __getitem__(self, path: str) -> M:
        return cast(M, self.get_submodule(path))
