"""The float32 weights that an optimizer changes, beside a network that computes in bfloat16.

Autocast casts every weight of a network in every step; weights that are in bfloat16 already save that. But most steps
change a weight by less than bfloat16 can show, so the optimizer works on a copy in float32, the masters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MasterWeights:
    """What the optimizer sees of a network: its parameters themselves, or float32 copies of those that are in bfloat16.

    Args:
        network: becomes bfloat16 if ``half``, frozen parts included.
        parameters: those of it that learn.
        half: whether to keep masters.
    """

    def __init__(self, network: nn.Module, parameters: Sequence[nn.Parameter], half: bool) -> None:
        self.network, self.parameters, self.half = network, parameters, half
        self.masters = [nn.Parameter(p.detach().float().clone()) for p in parameters] if half else list(parameters)
        if half:
            network.to(torch.bfloat16)

    def to(self, device: torch.device) -> None:
        """Move the masters to where the network is, before there is an optimizer for them."""
        if self.half:
            for master in self.masters:
                master.data = master.data.to(device)

    def masters_of(self, parameters: Sequence[nn.Parameter]) -> list[nn.Parameter]:
        """Return the masters of some of the parameters that learn; others are left out."""
        wanted = {id(parameter) for parameter in parameters}
        pairs = zip(self.masters, self.parameters, strict=True)
        return [master for master, parameter in pairs if id(parameter) in wanted]

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Move the network's gradients to the masters, in float32."""
        if not self.half:
            return
        for master, parameter in zip(self.masters, self.parameters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None

    @torch.no_grad()
    def publish(self, values: Sequence[Tensor] | None = None) -> None:
        """Copy the masters, or other values, into the network, rounded to its precision."""
        if self.half or values is not None:
            torch._foreach_copy_([p.data for p in self.parameters], [v.detach() for v in values or self.masters])

    def to_float32(self) -> None:
        """Make the network float32 again, with the masters' exact values."""
        if self.half:
            self.network.float()
            self.publish()
