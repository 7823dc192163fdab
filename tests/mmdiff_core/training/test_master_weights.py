"""Masters: float32 beside a network in bfloat16, so that small steps are not lost."""

from __future__ import annotations

import torch
from torch import nn

from mmdiff_core.training.master_weights import MasterWeights


def test_small_steps_add_up_in_the_masters() -> None:
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    weights = MasterWeights(network, list(network.parameters()), half=True)
    (master,) = weights.masters
    optimizer = torch.optim.SGD(weights.masters, lr=1e-4)
    for _ in range(100):  # bf16 has a step of 1/128 at 1
        network(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
        weights.take_gradients()
        assert network.weight.grad is None
        optimizer.step()
        weights.publish()
    assert network.weight.dtype == torch.bfloat16
    assert abs(master.item() - 0.99) < 1e-5
    assert abs(network.weight.item() - 0.99) < 1 / 256
    weights.to_float32()
    assert torch.equal(network.weight, master)
    assert weights.masters_of([network.weight, nn.Parameter(torch.zeros(1))]) == [master]


def test_other_values_may_be_shown_for_a_while() -> None:
    network = nn.Linear(2, 2)
    weights = MasterWeights(network, list(network.parameters()), half=True)
    before = [parameter.clone() for parameter in network.parameters()]
    weights.publish([torch.zeros_like(master) for master in weights.masters])
    assert all((parameter == 0).all() for parameter in network.parameters())
    weights.publish()
    assert all(torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))


def test_in_float32_the_masters_are_the_parameters() -> None:
    network = nn.Linear(2, 2)
    weights = MasterWeights(network, list(network.parameters()), half=False)
    assert all(a is b for a, b in zip(weights.masters, network.parameters(), strict=True))
    network(torch.ones(1, 2)).sum().backward()
    weights.take_gradients()
    weights.publish()
    weights.to_float32()
    assert network.weight.dtype == torch.float32
    assert network.weight.grad is not None
