"""The optimizers of a training run: AdamW, in full or in 8-bit precision, and Muon for hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmdiff_core.errors import SettingsError
from mmdiff_core.nn.lora import Lora
from mmdiff_core.training.stage import StageSettings

BETAS = (0.9, 0.99)
MOMENTUM = 0.95  # of Muon
SMALLEST_MATRIX = 16  # rows and columns from which on Muon takes a weight


def make_optimizers(
    parameters: Sequence[nn.Parameter],
    settings: StageSettings,
    eight_bit: bool = False,
    hidden: Sequence[nn.Parameter] = (),
) -> tuple[torch.optim.Optimizer, ...]:
    """Return AdamW and, where the settings have a rate for it, Muon for the ``hidden`` ones of the parameters.

    Args:
        parameters: everything that learns.
        settings: learning rates and weight decay.
        eight_bit: AdamW's state takes a quarter of the memory.
        hidden: of :func:`hidden_weights`.

    Raises:
        SettingsError: bitsandbytes, which has the 8-bit AdamW, is not installed or does not support this machine.
    """
    by_muon = {id(parameter) for parameter in hidden} if settings.muon_lr else set()
    matrices = [parameter for parameter in parameters if id(parameter) in by_muon]
    others = [parameter for parameter in parameters if id(parameter) not in by_muon]
    optimizers: list[torch.optim.Optimizer] = []
    if others:
        optimizers.append(_adamw(others, settings, eight_bit))
    if matrices:
        optimizers.append(MatrixMuon(matrices, settings.muon_lr))
    return tuple(optimizers)


def _adamw(parameters: Sequence[nn.Parameter], settings: StageSettings, eight_bit: bool) -> torch.optim.Optimizer:
    if not eight_bit:
        return torch.optim.AdamW(parameters, settings.lr, betas=BETAS, weight_decay=settings.weight_decay, fused=True)
    try:
        from bitsandbytes.optim import AdamW8bit
    except (ImportError, RuntimeError) as error:
        raise SettingsError(
            "The 8-bit optimizer needs bitsandbytes, which cannot be loaded here: pip install bitsandbytes, or use "
            f"--optimizer adamw. ({error})"
        ) from error
    return AdamW8bit(parameters, settings.lr, betas=BETAS, weight_decay=settings.weight_decay)


def hidden_weights(network: nn.Module, apart: Collection[nn.Module] = ()) -> tuple[nn.Parameter, ...]:
    """Return the weights of linear layers and convolutions, for Muon.

    Embeddings, LoRAs and what is smaller than ``SMALLEST_MATRIX`` on a side are not among them: orthogonal updates do
    not suit tables and thin factors. Nor is any layer of ``apart``, such as the first and the last one.
    """
    weights = [cast(nn.Parameter, layer.weight) for layer in _layers(network) if layer not in apart]
    return tuple(weight for weight in weights if min(len(weight), weight[0].numel()) >= SMALLEST_MATRIX)


def _layers(network: nn.Module) -> Iterator[nn.Linear | nn.Conv2d]:
    """Yield linear layers and convolutions outside LoRAs."""
    if isinstance(network, (nn.Linear, nn.Conv2d)):
        yield network
    elif not isinstance(network, Lora):
        for child in network.children():
            yield from _layers(child)


class MatrixMuon(torch.optim.Optimizer):
    """torch's Muon, which takes matrices alone, on linear layers and convolutions.

    A convolution goes to it as the matrix (outputs, inputs x kernel) that shares its memory. Muon's update is the same
    in any order of the columns, so channels_last weights need no copy either. Updates are scaled to AdamW's usual root
    mean square.

    Args:
        parameters: weights of two or more dimensions, dense in memory.
        lr: learning rate.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @cached_property
    def _muon(self) -> torch.optim.Muon:
        """The optimizer of the matrices; made at the first step, when the weights are where they stay."""
        matrices = [nn.Parameter(as_matrix(weight.detach(), weight)) for weight in self._weights]
        return torch.optim.Muon(matrices, lr=0.0, weight_decay=0.0, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")

    @property
    def _weights(self) -> list[nn.Parameter]:
        return [weight for group in self.param_groups for weight in group["params"]]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step with the gradients of the weights; those without one stay."""
        loss = None if closure is None else closure()
        (group,) = self._muon.param_groups
        group["lr"] = self.param_groups[0]["lr"]
        for matrix, weight in zip(group["params"], self._weights, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad, weight).float()
        self._muon.step()
        for matrix in group["params"]:
            matrix.grad = None
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the momenta."""
        return dict(self._muon.state_dict())

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the momenta of :meth:`state_dict`."""
        self._muon.load_state_dict(state_dict)


def as_matrix(tensor: Tensor, weight: Tensor) -> Tensor:
    """Return a weight or its gradient as (outputs, the rest), in the order in which the weight lies in memory."""
    last = torch.channels_last
    if weight.ndim == 4 and weight.is_contiguous(memory_format=last) and not weight.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    if tensor.data_ptr() == weight.data_ptr():
        return tensor.view(len(tensor), -1)  # raises where it would be a copy, whose changes would be lost
    return tensor.reshape(len(tensor), -1)
