"""Where a model runs, in what precision, and where its networks wait when the device cannot hold them all.

``Offloading`` goes from the fastest to the leanest; each mode includes what stands before it::

    none         everything stays on the device
    tiling       the autoencoder works through an image in tiles and slices
    offload      only the network at work is on the device, the others wait in the computer's memory
    sequential   only the layer at work is on the device; very slow
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from accelerate import cpu_offload
from accelerate.hooks import CpuOffload
from diffusers import AutoencoderKL
from torch import nn

from mmdiff_core.encoders.devices import device_of
from mmdiff_core.errors import SettingsError

Offloading = Literal["auto", "none", "tiling", "offload", "sequential"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]

# Rules of thumb, in tensors of an image's size: what the autoencoder and the UNet hold beside their weights.
DECODE_CHANNELS = 1024  # channels of full size that are alive at once in the last block of the decoder
TILE_PIXELS = 512 * 512  # what a tiled decoder works on
UNET_BYTES_PER_PIXEL = 1500  # activations of a conditional pair in half precision


def choose_device(asked: str = "auto") -> torch.device:
    """Return the requested device; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        SettingsError: it cannot be used here.
    """
    if asked == "auto":
        mps = torch.backends.mps.is_available()
        asked = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingsError(f'The device "{asked}" cannot be used here: leave --device out or say cpu.') from error
    return torch.device(asked)


def choose_dtype(asked: Precision, device: torch.device) -> torch.dtype:
    """Return the requested precision; ``auto`` is float16 on a GPU and float32 on the CPU, which is slow in halves.

    Raises:
        SettingsError: there is no such precision.
    """
    if asked not in get_args(Precision):
        raise SettingsError(f'There is no precision "{asked}": say one of {", ".join(get_args(Precision))}.')
    if asked == "auto":
        return torch.float32 if device.type == "cpu" else torch.float16
    return getattr(torch, asked)


@dataclass(frozen=True)
class Footprint:
    """What a model needs on a device, in bytes."""

    weights: int  # of all networks
    largest: int  # of the largest network
    image: int  # beside the weights, to make an image of the native size
    tiled_image: int  # the same with a tiled autoencoder


def footprint(modules: Sequence[nn.Module], vae: AutoencoderKL, pixels: int) -> Footprint:
    """Return the footprint of ``modules``, including the autoencoder, for images of that many pixels."""
    sizes = [sum(x.numel() * x.element_size() for x in module.parameters()) for module in modules]
    element = next(vae.parameters()).element_size()
    unet = pixels * UNET_BYTES_PER_PIXEL
    decode, tile = (n * DECODE_CHANNELS * element for n in (pixels, min(pixels, TILE_PIXELS)))
    return Footprint(sum(sizes), max(sizes), max(unet, decode), max(unet, tile))


def choose_offloading(asked: Offloading, device: torch.device, free: int | None, needs: Footprint) -> Offloading:
    """Return the requested mode; ``auto`` is the fastest that fits into ``free`` bytes (None: not known).

    Raises:
        SettingsError: there is no such mode, or it needs a GPU.
    """
    if asked not in get_args(Offloading):
        raise SettingsError(f'There is no offloading mode "{asked}": say one of {", ".join(get_args(Offloading))}.')
    if asked in ("offload", "sequential") and device.type == "cpu":
        raise SettingsError(f'The offloading mode "{asked}" moves parts to and from a GPU, and the device is the CPU.')
    if asked != "auto":
        return asked
    if device.type == "cpu" or free is None:
        return "none"
    if needs.weights + needs.image <= free:
        return "none"
    if needs.weights + needs.tiled_image <= free:
        return "tiling"
    return "offload" if needs.largest + needs.tiled_image <= free else "sequential"


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes on a device; None if they are not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


@dataclass(frozen=True, eq=False)
class Placement:
    """Keeps a model's networks where its offloading mode wants them. It knows nothing about any request."""

    device: torch.device
    mode: Offloading = "none"
    modules: tuple[nn.Module, ...] = ()
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def of(cls, modules: Sequence[nn.Module], device: torch.device, mode: Offloading) -> Placement:
        """Put the networks, which are on the CPU, where they wait."""
        for module in modules:
            if mode == "sequential":
                cpu_offload(module, device)
            elif mode != "offload":
                module.to(device)
        return cls(device, mode, tuple(modules))

    @contextmanager
    def using(self, *wanted: nn.Module) -> Iterator[None]:
        """Keep these networks on the device; in the offload mode the others leave it, and other threads wait."""
        for module in wanted:
            if isinstance(hook := getattr(module, "_hf_hook", None), CpuOffload):
                hook.pre_forward(module)  # a pipeline's own offloading, which waits for a call of the whole module
        if self.mode != "offload":
            yield
            return
        with self._lock:
            for module in self.modules:
                if module not in wanted and device_of(module) != torch.device("cpu"):
                    module.to("cpu")
            for module in wanted:
                module.to(self.device)
            yield

    @contextmanager
    def in_float32(self, network: AutoencoderKL) -> Iterator[None]:
        """Give a network float32 weights for a while and its own precision back, one thread at a time.

        Numbers of half precision survive that unchanged. A network in float32 is left alone.
        """
        own = network.dtype
        if own == torch.float32:
            yield
            return
        with self._lock:
            network.to(dtype=torch.float32)
            try:
                yield
            finally:
                network.to(dtype=own)


def save_decoder_memory(vae: AutoencoderKL) -> None:
    """Decode in tiles, which only images larger than a tile are cut into, and one image at a time."""
    vae.enable_tiling()
    vae.enable_slicing()
