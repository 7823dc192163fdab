"""An adapter as one safetensors file with its configuration inside. Nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.errors import CheckpointError, SettingsError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter

FORMAT = "mmdiff-adapter-1"
IMAGE_ENCODER = "image_encoder."  # prefix of the tensors of an image encoder that comes with an adapter
_SHOWN = 5  # names in an error message


@dataclass(frozen=True, eq=False)
class AdapterFile:
    """The contents of an adapter's file."""

    adapter: MMDiffAdapter
    # The official release includes a CLIP image encoder of its own for the subjects' words: tensors of transformers'
    # CLIPVisionModelWithProjection. Empty where a single image encoder serves all.
    image_encoder: Mapping[str, Tensor] = field(default_factory=dict)
    near: tuple[Path, ...] = ()  # folders where the image encoder may be that it was made with


def save_adapter(
    adapter: MMDiffAdapter,
    path: Path | str,
    extra: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
    image_encoder: Mapping[str, Tensor] | None = None,
) -> None:
    """Write every tensor and the configuration; a crash leaves the old file or the new one, never a part.

    Args:
        adapter: what to save.
        path: of the file; its folder is made if necessary.
        extra: more metadata, e.g. how the adapter was trained. ``format`` and ``config`` are taken.
        dtype: precision of the file; None keeps the adapter's own.
        image_encoder: see :class:`AdapterFile`.

    Raises:
        WritingError: the disk is full or cannot be written; the old file is as it was.
    """
    values = adapter.state_dict() | {IMAGE_ENCODER + name: x for name, x in (image_encoder or {}).items()}
    tensors = {name: x.detach().to("cpu", dtype).contiguous() for name, x in values.items()}
    metadata = {**(extra or {}), "format": FORMAT, "config": adapter.config.to_json()}
    with atomic_file(path) as temp_file:
        save_file(tensors, temp_file, metadata)


def load_adapter(path: Path | str, dtype: torch.dtype = torch.float32) -> MMDiffAdapter:
    """Return an adapter, rebuilt from its file alone, on the CPU.

    Args:
        path: a file of :func:`save_adapter`.
        dtype: precision of the tensors in memory.

    Returns:
        The adapter alone; :func:`load_adapter_file` returns everything in the file.

    Raises:
        CheckpointError: there is no such file, it is not an adapter, or its keys, shapes or numbers do not fit its
            configuration.
    """
    return load_adapter_file(path, dtype).adapter


def load_adapter_file(path: Path | str, dtype: torch.dtype = torch.float32) -> AdapterFile:
    """Return everything in a file of :func:`save_adapter`; arguments and errors as :func:`load_adapter`."""
    tensors, metadata = _read(Path(path))
    if metadata.get("format") != FORMAT or "config" not in metadata:
        raise CheckpointError(
            f"{path} is not an MM-Diff adapter of this version (format {FORMAT}): give a file that training or "
            '"python -m mmdiff_core convert" wrote, an IP-Adapter, or the folder of the official release.'
        )
    adapter = MMDiffAdapter(AdapterConfig.from_json(metadata["config"]))
    names = [name for name in tensors if name.startswith(IMAGE_ENCODER)]
    encoder = {name.removeprefix(IMAGE_ENCODER): tensors.pop(name).to(dtype) for name in names}
    load_tensors(adapter, tensors, str(path))
    return AdapterFile(adapter.to(dtype), encoder)


def read_metadata(path: Path | str) -> dict[str, str]:
    """Return the metadata of a file of :func:`save_adapter`; errors as :func:`load_adapter`."""
    return _read(Path(path), with_tensors=False)[1]


def adapter_of_tensors(
    tensors: Mapping[str, Tensor],
    read_config: Callable[[Mapping[str, Tensor]], AdapterConfig],
    names_of: Callable[[MMDiffAdapter], Mapping[str, str]],
    source: str,
) -> AdapterFile:
    """Make an adapter of another project's tensors, with every one of them in its place.

    Args:
        tensors: by their own names.
        read_config: reads the sizes off the tensors.
        names_of: from each state-dict key of the adapter to the tensor's own name.
        source: what messages call the tensors.

    Raises:
        CheckpointError: a tensor is missing, unknown or of a shape that does not fit.
    """
    tensors = {name: x.float() for name, x in tensors.items()}
    try:
        config = read_config(tensors)
    except KeyError as error:
        raise CheckpointError(f"There is no tensor {error} in {source}: download it again.") from error
    except SettingsError as error:
        raise CheckpointError(f"The tensors in {source} do not fit together: {error}") from error
    adapter = MMDiffAdapter(config)
    ours = {theirs: name for name, theirs in names_of(adapter).items()}
    load_tensors(adapter, {ours.get(name, name): x for name, x in tensors.items()}, source)
    return AdapterFile(adapter)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy ``tensors`` into ``module``, after a check of every key and shape.

    Raises:
        CheckpointError: a key too many or too few, another shape, or numbers that are not finite.
    """
    check_tensors(module.state_dict(), tensors, source)
    module.load_state_dict(dict(tensors))


def check_tensors(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: str) -> None:
    """Check keys, shapes and numbers of ``tensors`` against the ``expected`` ones; errors as :func:`load_tensors`."""
    shared = expected.keys() & tensors.keys()
    complaints = {
        "missing": expected.keys() - tensors.keys(),
        "unknown": tensors.keys() - expected.keys(),
        "of another shape": {name for name in shared if tensors[name].shape != expected[name].shape},
        "not finite": {name for name in shared if not torch.isfinite(tensors[name]).all()},
    }
    listed = [f"{len(names)} {what} ({_first_names(names)})" for what, names in complaints.items() if names]
    if listed:
        raise CheckpointError(
            f"The tensors in {source} do not fit: {'; '.join(listed)}. Get the file again, or the model for it."
        )


def _read(path: Path, with_tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return tensors and metadata of a safetensors file."""
    if not path.is_file():
        raise CheckpointError(
            f'There is no adapter file at "{path}": give a .safetensors file, an IP-Adapter, or the folder of the '
            "official release."
        )
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys() if with_tensors else ()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f'The adapter file "{path}" cannot be read: it is damaged or was cut off, so get it again. ({error})'
        ) from error


def _first_names(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, ..."
