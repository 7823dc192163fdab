"""Muon where it belongs, AdamW elsewhere, and a state that goes on where it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mmdiff_core.training.create import create_unet
from mmdiff_core.training.optimizer import MuonAdamW, as_matrix, hidden_matrices
from mmdiff_core.training.recipes import RECIPES


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=1), nn.Flatten())


def train(network: nn.Module, optimizer: MuonAdamW, steps: int, seed: int) -> float:
    draw, value = torch.Generator().manual_seed(seed), torch.zeros(())
    for _ in range(steps):
        x = torch.randn(16, 3, 4, 4, generator=draw)
        value = (network(x) - x.repeat(1, 3, 1, 1)[:, :8].flatten(1)).square().mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return float(value.detach())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions_are_matrices_in_their_own_memory(layout: torch.memory_format) -> None:
    weight = torch.randn(8, 4, 3, 3).to(memory_format=layout)
    matrix = as_matrix(weight)
    assert matrix.shape == (8, 36)
    matrix.zero_()
    assert not weight.any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_an_update_of_a_matrix_is_orthogonal_and_as_large_as_adamws(layout: torch.memory_format) -> None:
    network = small().to(memory_format=layout)
    middle = network[2].weight
    before = middle.detach().clone()
    train(network, MuonAdamW(list(network.parameters()), [middle], 1e-2), steps=1, seed=0)
    update = as_matrix((middle - before).detach())
    singular = torch.linalg.svdvals(update)
    assert singular.min() > 0.5 * singular.max()  # Newton and Schulz leave them near each other
    assert update.square().mean().sqrt() == pytest.approx(0.2e-2, rel=0.25)


def test_it_learns_and_goes_on_from_its_state_as_if_never_stopped() -> None:
    network = small()
    optimizer = MuonAdamW(list(network.parameters()), [network[2].weight], 3e-3)
    first = train(network, optimizer, 1, seed=0)
    train(network, optimizer, 30, seed=1)
    kept = copy.deepcopy((network.state_dict(), optimizer.state_dict()))
    straight = train(network, optimizer, 5, seed=2)
    assert straight < 0.8 * first
    again = small()
    again.load_state_dict(kept[0])
    resumed = MuonAdamW(list(again.parameters()), [again[2].weight], 3e-3)
    resumed.load_state_dict(kept[1])
    assert train(again, resumed, 5, seed=2) == straight


def test_the_ends_of_a_network_are_not_hidden() -> None:
    unet = create_unet(RECIPES["rehearsal"])
    taken = {id(matrix) for matrix in hidden_matrices(unet)}
    assert id(unet.mid_block.resnets[0].conv1.weight) in taken
    assert not taken & {id(unet.conv_in.weight), id(unet.conv_out.weight), id(unet.mid_block.resnets[0].conv1.bias)}
    assert not taken & {id(parameter) for parameter in unet.time_embedding.parameters()}
