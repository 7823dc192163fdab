"""Errors in the middle of an image: memory that runs out, and numbers that are no longer finite."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmdiff_core.errors import GenerationError, ModelError

# How the allocators of CPU, CUDA and MPS begin when they have nothing left; each is a plain RuntimeError somewhere.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")
_SHOWN = 3  # names of tensors in a message


@contextmanager
def named_memory_errors() -> Iterator[None]:
    """Turn an out-of-memory error into a sentence, and free the attempt's memory for the next request.

    Raises:
        GenerationError: there was not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _is_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # they would keep every tensor of the attempt alive
        give_back_memory()
        raise GenerationError(
            "There was not enough memory for this image: use a smaller size, fewer photos, or try again when "
            f"less is going on. Whoever runs this can start it with --offload tiling. ({type(error).__name__})"
        ) from None


def give_back_memory() -> None:
    """Free the memory that torch has cached on the device."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def check_latents(latents: Tensor, step: int, unet: nn.Module) -> None:
    """Check that a step's latents are finite; reads one number from the device.

    Raises:
        GenerationError: they are not; the message says whether the weights are to blame.
    """
    if bool(torch.isfinite(latents).all()):
        return
    broken = broken_tensors(unet)
    if broken:
        cause = f"weights of the UNet are not numbers ({_some(broken)}), so the model must be fetched again"
    else:
        cause = "another seed, a lower guidance or scale, or --dtype float32 helps"
    raise GenerationError(f"The image's numbers are no longer finite at step {step}: {cause}.")


def check_pixels(pixels: Tensor) -> None:
    """Check that a decoded image is finite; it would otherwise come out black.

    Raises:
        GenerationError: its numbers are not finite.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise GenerationError(
            "The autoencoder's image is not made of finite numbers: its half precision is too narrow here, or its "
            "weights are damaged. Start with --dtype float32, or get the model again."
        )


def check_finite_weights(parts: Mapping[str, nn.Module], source: object) -> None:
    """Check that every weight of a model's networks is finite.

    Raises:
        ModelError: one is not; the message names the part and the tensor.
    """
    for name, part in parts.items():
        if broken := broken_tensors(part):
            raise ModelError(
                f'The model "{source}" is damaged: weights of its {name} are not numbers ({_some(broken)}). Get the '
                "model again."
            )


def broken_tensors(module: nn.Module) -> list[str]:
    """Return the names of floating-point tensors with a NaN or an infinity; offloaded ones do not count."""
    named = ((name, x) for name, x in module.state_dict().items() if x.is_floating_point() and not x.is_meta)
    return [name for name, x in named if x.numel() and not bool(torch.isfinite(torch.stack(torch.aminmax(x))).all())]


def _is_memory(error: BaseException) -> bool:
    return any(sign in str(error).lower() for sign in _NO_MEMORY)


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
