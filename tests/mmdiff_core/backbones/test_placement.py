"""Device, precision and memory: the decisions with figures put in, and the modes as far as a CPU can run them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from mmdiff_core.backbones.placement import (
    Footprint,
    Offloading,
    Placement,
    choose_device,
    choose_dtype,
    choose_offloading,
    footprint,
    free_memory,
)
from mmdiff_core.encoders.devices import device_of
from mmdiff_core.errors import SettingsError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NEEDS = Footprint(weights=700, largest=500, image=300, tiled_image=100)


@pytest.mark.parametrize(
    ("free", "mode"),
    [(1000, "none"), (999, "tiling"), (800, "tiling"), (799, "offload"), (600, "offload"), (599, "sequential")],
)
def test_auto_takes_the_fastest_that_fits(free: int, mode: Offloading) -> None:
    assert choose_offloading("auto", CUDA, free, NEEDS) == mode


def test_what_is_asked_for_is_taken() -> None:
    assert choose_offloading("none", CUDA, 1, NEEDS) == "none"
    assert choose_offloading("sequential", CUDA, 10**9, NEEDS) == "sequential"
    assert choose_offloading("tiling", CPU, None, NEEDS) == "tiling"
    assert choose_offloading("auto", CUDA, None, NEEDS) == "none"
    assert choose_offloading("auto", CPU, 1, NEEDS) == "none"


@pytest.mark.parametrize("mode", ["offload", "sequential"])
def test_a_cpu_has_nowhere_to_offload_to(mode: Offloading) -> None:
    with pytest.raises(SettingsError, match=f'"{mode}" moves parts to and from a GPU'):
        choose_offloading(mode, CPU, None, NEEDS)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(SettingsError, match='no offloading mode "much"'):
        choose_offloading("much", CPU, None, NEEDS)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match='no precision "float8"'):
        choose_dtype("float8", CPU)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match='device "abacus" cannot be used'):
        choose_device("abacus")


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.float32), ("cuda", torch.float16), ("mps", torch.float16)])
def test_precision_suits_the_device(device: str, dtype: torch.dtype) -> None:
    assert choose_dtype("auto", torch.device(device)) is dtype
    assert choose_dtype("bfloat16", torch.device(device)) is torch.bfloat16


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_the_device_is_looked_for(cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    asked: list[str] = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: asked.append(device))
    assert choose_device().type == expected
    assert asked == [expected]


def test_free_memory_of_a_cpu_is_not_asked_for() -> None:
    assert free_memory(CPU) is None


def test_footprint_counts_every_part() -> None:
    pipe = tiny.stable_diffusion()
    parts = [pipe.unet, pipe.vae, pipe.text_encoder]
    sizes = [sum(4 * x.numel() for x in part.parameters()) for part in parts]
    found = footprint(parts, pipe.vae, 1024 * 1024)
    assert (found.weights, found.largest) == (sum(sizes), max(sizes))
    assert found.tiled_image < found.image
    small = footprint(parts, pipe.vae, 64 * 64)
    assert small.tiled_image == small.image


class Part(nn.Module):
    """Says that it is where it was last sent."""

    def __init__(self, log: list[tuple[str, str]], name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.log, self.name = log, name

    def to(self, device: torch.device | str) -> Part:  # type: ignore[override]
        self.log.append((self.name, str(device)))
        self._hf_hook = type("Hook", (), {"execution_device": str(device)})
        return self


def test_only_the_parts_at_work_are_on_the_device() -> None:
    log: list[tuple[str, str]] = []
    text, unet, vae = (Part(log, name) for name in ("text", "unet", "vae"))
    placement = Placement.of([text, unet, vae], CUDA, "offload")
    assert log == []  # they come when they are needed
    for part in (text, unet, unet, vae):
        with placement.using(part):
            assert [p.name for p in (text, unet, vae) if device_of(p) == CUDA] == [part.name]
    with placement.using(text, unet):
        assert [p.name for p in (text, unet, vae) if device_of(p) == CUDA] == ["text", "unet"]
    assert ("vae", "cpu") in log


@pytest.mark.parametrize("mode", ["none", "tiling"])
def test_everything_goes_to_the_device_at_once(mode: Literal["none", "tiling"]) -> None:
    log: list[tuple[str, str]] = []
    parts = [Part(log, name) for name in ("text", "unet")]
    with Placement.of(parts, CUDA, mode).using(parts[0]):
        pass
    assert log == [("text", "cuda"), ("unet", "cuda")]


@pytest.mark.parametrize("mode", ["offload", "sequential"])
@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_a_mode_makes_the_same_picture(kind: str, mode: Offloading, tmp_path: Path) -> None:
    """From the CPU to the CPU, but through the hooks: in the sequential mode no weight is there until it is used."""
    request = GenerateRequest("a cat next to a robot", tiny.cat_and_robot(), steps=2, start_step=1, width=40, height=24)
    usual = tiny.personalizer(kind, tmp_path)
    *_, expected = usual.generate(request)
    backbone = usual.backbone
    parts = [backbone.unet, backbone.vae, *backbone.text_encoders, backbone.image_encoder]
    waiting = Personalizer(replace(backbone, placement=Placement.of(parts, CPU, mode)), usual.adapter)
    assert next(backbone.unet.parameters()).is_meta == (mode == "sequential")
    *_, found = waiting.generate(request)
    difference = np.asarray(found.finished.image, dtype=int) - np.asarray(expected.finished.image, dtype=int)
    assert np.abs(difference).max() <= 1
    assert np.allclose(found.maps.at("cat", "image"), expected.maps.at("cat", "image"), atol=2e-3)


def test_tiling_is_switched_on(tmp_path: Path) -> None:
    tiny.save_model("sd", tmp_path)
    backbone = Personalizer.load(tmp_path, offload="tiling").backbone
    assert (backbone.vae.use_tiling, backbone.vae.use_slicing) == (True, True)
    assert Personalizer.load(tmp_path).backbone.vae.use_tiling is False
