"""What every backbone has: a name for others, the schedulers of its kind, and a place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from mmdiff_core.backbones.schedulers import FLOW_SCHEDULERS, SCHEDULERS
from mmdiff_core.backbones.toybox import load_toybox


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("toybox", "toybox"),
        ("maker/model", "maker/model"),
        ("/srv/private/sd", "sd"),
        ("private/models/sd", "sd"),
        ("private/sd", "sd"),  # a folder that is there, from here on
        (".", "here"),
    ],
)
def test_a_folder_is_shown_by_its_last_part(
    toybox: Path, name: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "private" / "sd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    backbone, _ = load_toybox(toybox)
    assert replace(backbone, name=name).display_name == shown


def test_a_request_may_name_the_schedulers_of_its_kind(toybox: Path) -> None:
    backbone, _ = load_toybox(toybox)
    assert backbone.schedulers == tuple(FLOW_SCHEDULERS)
    assert replace(backbone, scheduler=EulerDiscreteScheduler()).schedulers == tuple(SCHEDULERS)


def test_a_moved_model_is_on_its_device_and_otherwise_the_same(toybox: Path) -> None:
    backbone, _ = load_toybox(toybox)
    moved = backbone.moved_to("meta")
    assert moved.device == torch.device("meta")
    assert {x.device.type for x in (*moved.unet.parameters(), *moved.vae.parameters())} == {"meta"}
    assert {x.device.type for x in moved.text_encoders[0].parameters()} == {"meta"}
    assert (moved.sizes, moved.defaults, moved.vocabulary) == (backbone.sizes, backbone.defaults, backbone.vocabulary)
