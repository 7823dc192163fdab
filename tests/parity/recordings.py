"""The recorded numbers, and how close to them is close enough."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmdiff_core.nn.records import SubjectEmbeddings
from tests.helpers.paths import PARITY_FIXTURES

FOLDER = PARITY_FIXTURES
TOLERANCE = 1e-5


@cache
def tensors(name: str) -> dict[str, Tensor]:
    """All tensors of a file, floating ones in float32."""
    loaded = load_file(FOLDER / f"{name}.safetensors")
    return {key: x.float() if x.is_floating_point() else x for key, x in loaded.items()}


@cache
def scalars(name: str) -> Any:
    """The scalars of a unit."""
    return json.loads((FOLDER / "scalars.json").read_text())[name]


@cache
def configs() -> dict[str, Any]:
    """The configurations of the tiny models."""
    return json.loads((FOLDER / "configs_A.json").read_text())


def below(values: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The entries below a prefix, without it."""
    return {key.removeprefix(prefix): x for key, x in values.items() if key.startswith(prefix)}


def renamed(values: Mapping[str, Tensor], table: Mapping[str, str]) -> dict[str, Tensor]:
    """A state dict with official module names, under our module names."""
    return {
        f"{ours}.{key.removeprefix(official + '.')}": x
        for ours, official in table.items()
        for key, x in values.items()
        if key.startswith(official + ".")
    }


def recorded_subjects(tokens: Tensor, mask: Tensor) -> SubjectEmbeddings:
    """The official tokens (B, 4 * slots, D) and mask (B, slots), one column standing for all references."""
    slots = tokens.shape[1] // 4
    present = mask.expand(-1, slots) if mask.shape[1] == 1 else mask
    return SubjectEmbeddings(
        words=(),
        tokens=tokens,
        owners=torch.arange(slots).repeat_interleave(4),
        present=present.repeat_interleave(4, dim=1),
    )


def difference(ours: Tensor, recorded: Tensor) -> float:
    """max|a - b| / max|ref|."""
    assert ours.shape == recorded.shape
    return ((ours - recorded).abs().max() / recorded.abs().max()).item()


def assert_same(ours: Tensor, recorded: Tensor, tolerance: float = TOLERANCE) -> None:
    """Fails with the figure if the outputs are further apart than the tolerance."""
    found = difference(ours, recorded)
    assert found <= tolerance, f"{found:.2e} apart"


def write_release(folder: Path, checkpoint: Mapping[str, Tensor] | None = None) -> None:
    """A checkpoint, the recorded one by default, as the three files that the official code writes."""
    checkpoint = tensors("ckpt_A") if checkpoint is None else checkpoint
    groups = {name.split("/")[1] for name in checkpoint if name.startswith("custom/")}
    torch.save(below(checkpoint, "unet_adapter/"), folder / "unet_adapter_weights.bin")
    torch.save(below(checkpoint, "text_encoder_adapter/"), folder / "text_encoder_adapter_weights.bin")
    torch.save({g: below(checkpoint, f"custom/{g}/") for g in groups}, folder / "custom_weights.bin")
