"""The optimizer, in full and in 8-bit precision."""

from __future__ import annotations

import sys

import pytest
import torch

from mmdiff_core.errors import SettingsError
from mmdiff_core.training.optimizer import make_optimizer
from mmdiff_core.training.stage import StageSettings

SETTINGS = StageSettings(steps=10, batch=1, lr=0.1, weight_decay=0.02)


def test_it_has_the_settings_of_the_stage() -> None:
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(2))], SETTINGS)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.02)


def test_the_8_bit_one_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(SettingsError, match="pip install bitsandbytes"):
        make_optimizer([torch.nn.Parameter(torch.zeros(2))], SETTINGS, eight_bit=True)


def test_the_8_bit_one_trains() -> None:
    pytest.importorskip("bitsandbytes")
    parameter = torch.nn.Parameter(torch.ones(4096))
    optimizer = make_optimizer([parameter], SETTINGS, eight_bit=True)
    parameter.square().sum().backward()
    optimizer.step()
    assert (parameter < 1).all()
