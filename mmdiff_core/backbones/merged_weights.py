"""An adapter's LoRAs merged with the UNet's weights: once, and anew where the UNet has changed since."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from accelerate.utils import align_module_device
from diffusers import UNet2DConditionModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from mmdiff_core.nn.adapter import LayerWeights, MMDiffAdapter

SAMPLES = 64  # numbers of each tensor that tell whether it has changed


class Fingerprint(NamedTuple):
    """What tells two states of the UNet's attention layers apart."""

    loras: tuple[object, ...]  # which LoRAs each layer has, which are active, and how much they count
    numbers: Tensor  # some of each weight, of the layer and of its LoRAs

    def same_as(self, other: Fingerprint) -> bool:
        """Whether the layers are in the same state."""
        return self.loras == other.loras and torch.equal(self.numbers, other.numbers)


class MergedWeights:
    """The merged weights of one adapter in one UNet, whose LoRAs people load, scale and unload at any time.

    Args:
        adapter: MM-Diff's weights; None has nothing to merge.
        unet: the network that they are for, which stays as it is.
    """

    def __init__(self, adapter: MMDiffAdapter | None, unet: UNet2DConditionModel) -> None:
        self._adapter, self._unet = adapter, unet
        self._merged: Mapping[str, LayerWeights] = {}
        self._made_of: Fingerprint | None = None
        self._lock = threading.Lock()
        self.current()

    @torch.no_grad()
    def current(self) -> Mapping[str, LayerWeights]:
        """Return ``adapter.weights`` of the UNet as it is now; the same object as before if nothing has changed."""
        if self._adapter is None:
            return self._merged
        with self._lock, weights_at_hand(self._adapter, self._unet):
            found = fingerprint(self._adapter, self._unet)
            if self._made_of is None or not found.same_as(self._made_of):
                self._merged = {}  # first, so that there are never two on the device
                self._merged, self._made_of = self._adapter.weights(self._unet), found
            return self._merged


@contextmanager
def weights_at_hand(adapter: MMDiffAdapter, unet: UNet2DConditionModel) -> Iterator[None]:
    """Fetch those weights of the adapter's layers that are offloaded, for as long as they are read."""
    with ExitStack() as fetched:
        for layer in (x for path in adapter.unet.paths for x in unet.get_submodule(path).modules()):
            if isinstance(getattr(layer, "weight", None), nn.Parameter) and layer.weight.is_meta:
                fetched.enter_context(align_module_device(layer, "cpu"))
        yield


@torch.no_grad()
def fingerprint(adapter: MMDiffAdapter, unet: UNet2DConditionModel) -> Fingerprint:
    """Return the state of the layers that the adapter is merged with. Their weights must be at hand."""
    layers = [linear for path in adapter.unet.paths for linear in _linears(unet.get_submodule(path))]
    numbers = [_some_of(x) for linear in layers for x in linear.parameters()]
    return Fingerprint(tuple(map(_loras, layers)), torch.cat(numbers).cpu())


def _linears(attention: Any) -> tuple[nn.Module, ...]:
    return attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]


def _some_of(values: Tensor) -> Tensor:
    """Return about ``SAMPLES`` numbers from all over a tensor; the odd stride visits all columns."""
    return values.flatten()[:: (values.numel() // SAMPLES) | 1].float()


def _loras(linear: nn.Module) -> object:
    if not isinstance(linear, BaseTunerLayer):
        return None
    scaling = cast("dict[str, float]", getattr(linear, "scaling", {}))
    active, merged = tuple(linear.active_adapters), tuple(linear.merged_adapters)
    return type(linear), active, merged, linear.disable_adapters, tuple(sorted(scaling.items()))
