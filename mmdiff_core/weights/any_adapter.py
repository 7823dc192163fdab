"""An adapter in any of the forms that people have: our file, the official release, or a public IP-Adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal

from torch import Tensor

from mmdiff_core.nn.adapter import AttentionLayer
from mmdiff_core.weights.adapter_file import AdapterFile, load_adapter_file
from mmdiff_core.weights.hub_adapters import find_adapter
from mmdiff_core.weights.ip_adapter import (
    context_width,
    convert_ip_adapter,
    ip_adapter_tensors,
    is_ip_adapter,
    read_tables,
)
from mmdiff_core.weights.ms_diffusion import convert_ms_diffusion, is_ms_diffusion, ms_diffusion_tensors
from mmdiff_core.weights.official_release import convert_official, is_official, read_official

OFFICIAL_CONTEXT = 2048  # the release is for SDXL


@dataclass(frozen=True)
class BaseLayers:
    """What a foreign checkpoint is converted for: the layers of a base model."""

    cross_attention: tuple[AttentionLayer, ...]
    self_attention: tuple[AttentionLayer, ...]
    text_widths: tuple[int, ...]  # of its text encoders


@dataclass(frozen=True, eq=False)
class ForeignAdapter:
    """A checkpoint of another project, as it was read."""

    kind: Literal["official", "ip-adapter", "ms-diffusion"]
    name: str  # what messages call it
    tensors: Mapping[str, Tensor]
    context: int  # D of the base that it was made for


def open_adapter(source: str | PathLike[str], base: BaseLayers) -> AdapterFile:
    """Open an adapter, converted if it is not ours; every key and shape is accounted for.

    Args:
        source: our file, the folder of the official release, or the file of an IP-Adapter; or the name of a file in
            the hub's cache, USER/REPO/FILE.
        base: the layers of the model that it is for.

    Raises:
        CheckpointError: it is none of them, is damaged, or was made for another model.
    """
    source = find_adapter(source)
    foreign = is_official(source) or is_ip_adapter(source)
    opened = convert_foreign(read_foreign(source), base) if foreign else load_adapter_file(Path(source))
    return replace(opened, near=_near(Path(source)))


def read_foreign(source: str | PathLike[str]) -> ForeignAdapter:
    """Read the file of an IP-Adapter or of MS-Diffusion, or the folder of the official release.

    Raises:
        CheckpointError: it is none of them, or is damaged.
    """
    source = find_adapter(source)
    if source.is_file():
        tables = read_tables(source)
        if is_ms_diffusion(tables):
            name, tensors = f'the MS-Diffusion checkpoint "{source}"', ms_diffusion_tensors(tables)
            return ForeignAdapter("ms-diffusion", name, tensors, context_width(tensors, name))
        name, tensors = f'the IP-Adapter "{source}"', ip_adapter_tensors(source, tables)
        return ForeignAdapter("ip-adapter", name, tensors, context_width(tensors, name))
    return ForeignAdapter("official", f'the official checkpoint "{source}"', read_official(source), OFFICIAL_CONTEXT)


def convert_foreign(foreign: ForeignAdapter, base: BaseLayers) -> AdapterFile:
    """Convert a checkpoint for a base model; errors as :func:`open_adapter`."""
    layers = base.cross_attention, base.self_attention
    if foreign.kind == "official":
        return convert_official(foreign.tensors, *layers, source=foreign.name)
    if foreign.kind == "ms-diffusion":
        return convert_ms_diffusion(foreign.tensors, base.cross_attention, base.text_widths, foreign.name)
    return convert_ip_adapter(foreign.tensors, *layers, base.text_widths, foreign.name)


def _near(file: Path) -> tuple[Path, ...]:
    """Return where the image encoder of an adapter is if it was copied from the hub with it."""
    above = file.parent.parent
    return file.parent / "image_encoder", above / "models" / "image_encoder", above / "sdxl_models" / "image_encoder"
