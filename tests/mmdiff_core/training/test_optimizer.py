"""The optimizers: AdamW, in full and in 8-bit precision, and Muon on matrices and convolutions."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from mmdiff_core.errors import SettingsError
from mmdiff_core.nn.lora import Lora
from mmdiff_core.training.optimizer import MatrixMuon, as_matrix, hidden_weights, make_optimizers
from mmdiff_core.training.stage import StageSettings

SETTINGS = StageSettings(steps=10, batch=1, lr=0.1, weight_decay=0.02)
WITH_MUON = replace(SETTINGS, muon_lr=0.3)


def some_network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "first": nn.Conv2d(16, 32, 3),
            "hidden": nn.Conv2d(32, 32, 3),
            "linear": nn.Linear(32, 64),
            "narrow": nn.Linear(32, 3),
            "words": nn.Embedding(64, 32),
            "lora": Lora(32, 32, 16),
            "norm": nn.GroupNorm(4, 32),
        }
    )


def test_adamw_has_the_settings_of_the_stage() -> None:
    (optimizer,) = make_optimizers([nn.Parameter(torch.zeros(2))], SETTINGS)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.02)


def test_muon_takes_the_hidden_layers_alone() -> None:
    network = some_network()
    hidden = hidden_weights(network, apart=(network["first"],))
    assert set(map(id, hidden)) == {id(network[name].weight) for name in ("hidden", "linear")}
    parameters = list(network.parameters())
    adamw, muon = make_optimizers(parameters, WITH_MUON, hidden=hidden)
    assert isinstance(muon, MatrixMuon)
    assert (adamw.param_groups[0]["lr"], muon.param_groups[0]["lr"]) == (0.1, 0.3)
    taken = [*adamw.param_groups[0]["params"], *muon.param_groups[0]["params"]]
    assert sorted(map(id, taken)) == sorted(map(id, parameters))
    (alone,) = make_optimizers(parameters, SETTINGS, hidden=hidden)  # without a rate for Muon
    assert isinstance(alone, torch.optim.AdamW)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_moves_as_torchs_muon_moves_its_matrix(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(24, 16, 3, 3).to(memory_format=layout))
    matrix = nn.Parameter(weight.detach().flatten(1).clone())
    place, ours = weight.data_ptr(), MatrixMuon([weight], 0.1)
    theirs = torch.optim.Muon([matrix], 0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        weight.grad = torch.randn_like(weight)
        matrix.grad = weight.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    assert weight.data_ptr() == place
    moved = (weight.flatten(1) - matrix).norm() / matrix.norm()
    assert moved < 1e-2  # of bf16 sums in another order
    assert weight.is_contiguous(memory_format=layout)


def test_muon_continues_where_it_was() -> None:
    def after(steps: int, state: dict | None = None, start: torch.Tensor | None = None) -> tuple[torch.Tensor, dict]:
        weight = nn.Parameter(torch.ones(16, 16) if start is None else start.clone())
        muon = MatrixMuon([weight], 0.1)
        if state is not None:
            muon.load_state_dict(state)
        for step in range(steps):
            weight.grad = torch.eye(16) * (step + 1 + (state is not None) * 2) + weight.detach().tril()
            muon.step()
        return weight.detach(), muon.state_dict()

    whole, _ = after(4)
    half, state = after(2)
    assert torch.equal(after(2, state, half)[0], whole)


def test_a_weight_that_no_matrix_can_share_is_refused() -> None:
    weight = torch.randn(4, 4, 8).transpose(1, 2)
    with pytest.raises(RuntimeError, match="view"):
        as_matrix(weight, weight)


def test_the_8_bit_one_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(SettingsError, match="pip install bitsandbytes"):
        make_optimizers([nn.Parameter(torch.zeros(2))], SETTINGS, eight_bit=True)


def test_the_8_bit_one_trains() -> None:
    pytest.importorskip("bitsandbytes")
    parameter = nn.Parameter(torch.ones(4096))
    (optimizer,) = make_optimizers([parameter], SETTINGS, eight_bit=True)
    parameter.square().sum().backward()
    optimizer.step()
    assert (parameter < 1).all()
