"""Muon for the hidden matrices of the networks that are trained whole, AdamW for everything else.

Muon (Jordan 2024) makes each update of a matrix orthogonal, so that rare directions are learned as fast as common ones;
a convolution is the matrix of its output channels. Updates are scaled as AdamW's (Liu et al. 2025), so both share a
learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class MuonAdamW(torch.optim.AdamW):
    """One optimiser of both kinds, with one learning rate.

    Args:
        parameters: all that is trained.
        matrices: those among them, of two or more dimensions, that Muon takes; their memory must stay where it is.
        rate: of both.
        decay: of both, decoupled.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], matrices: Sequence[nn.Parameter], rate: float, decay: float = 0.0
    ) -> None:
        taken = {id(matrix) for matrix in matrices}
        rest = [parameter for parameter in parameters if id(parameter) not in taken]
        super().__init__(rest, rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        self.matrices = tuple(matrices)
        self.views = tuple(nn.Parameter(as_matrix(matrix.detach())) for matrix in matrices)
        self.muon = torch.optim.Muon(self.views, rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        loss = super().step(closure)
        for matrix, view in zip(self.matrices, self.views, strict=True):
            view.grad = None if matrix.grad is None else as_matrix(matrix.grad)
        for group in self.muon.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        self.muon.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for parameter in (*self.matrices, *self.views):
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "muon": self.muon.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "muon"})
        self.muon.load_state_dict(state_dict["muon"])


def as_matrix(tensor: Tensor) -> Tensor:
    """A weight or its gradient as outputs times inputs, in the same memory whatever its layout.

    A convolution's (o, i, h, w) becomes (o, i h w), or (o, h w i) where the channels lie innermost.
    """
    if tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten(1)


def hidden_matrices(*networks: nn.Module) -> list[nn.Parameter]:
    """The weights between the layers of networks: no biases or norms, no embeddings, not the first and last layer."""
    ends = ("conv_in", "conv_out", "embedding")
    return [
        parameter
        for network in networks
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.ndim >= 2 and not any(end in name for end in ends)
    ]
