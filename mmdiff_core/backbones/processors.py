"""MM-Diff inside diffusers' UNet: attention processors that know their own path and nothing about a request.

Everything of a request arrives with the call::

    unet(latents, t, encoder_hidden_states=states, cross_attention_kwargs={"mmdiff": Call(condition, sizes, recorder)})

so that interleaved requests share nothing, and a call without ``mmdiff`` is the stock UNet's.

A layer whose processor has weights of its own, as IP-Adapter's do, keeps it, so that all of diffusers' functions for
those go on working; a condition is refused while there is one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmdiff_core.errors import ModelError
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.attention import attend, merge_heads, multimodal_attention, split_heads
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.gates import Gate, region_gates, word_gates
from mmdiff_core.nn.map_recording import MapRequest
from mmdiff_core.nn.records import Condition, KeyValue, LayerCondition, LayerMaps

LayerSizes = Mapping[str, tuple[int, int]]


class Forward(Protocol):
    """The condition of one forward of the UNet, and its recorder."""

    @property
    def condition(self) -> Condition:
        """Return what to show, and where."""

    def layer(self, path: str) -> LayerCondition | None:
        """Return what the layer at ``path`` needs, which asks once a forward; None: it stays stock."""

    @property
    def sizes(self) -> LayerSizes:
        """Return (h, w) by layer path, of :func:`layer_sizes`."""

    @property
    def recorder(self) -> Recorder | None:
        """Return the recorder that takes the maps."""


@dataclass(frozen=True)
class Call:
    """A :class:`Forward` whose condition is known beforehand."""

    condition: Condition
    sizes: LayerSizes
    recorder: Recorder | None = None

    def layer(self, path: str) -> LayerCondition | None:
        """See :class:`Forward`."""
        return self.condition.layers.get(path)


class ConditionedAttention:
    """Processor of one attention layer: multimodal where the call brings a condition for it, stock elsewhere."""

    def __new__(cls, *layer: Any) -> Any:
        """Return diffusers' own processor where no layer is given: it renews processors by their class alone."""
        return super().__new__(cls) if layer else AttnProcessor2_0()

    def __init__(self, path: str, stock: Callable[..., Tensor]) -> None:
        self.path = path
        self.stock = cast(Any, stock)
        self._signature = inspect.signature(self.stock.__call__)
        # diffusers passes on what the signature of a processor's __call__ names, and drops the rest.
        self.__dict__["__call__"] = _Announced(type(self).__call__, self._signature)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        mmdiff: Forward | None = None,
        **others: Any,
    ) -> Tensor:
        """Args: hidden_states (B, L, width), encoder_hidden_states (B, T, D). Returns (B, L, width)."""
        layer = None if mmdiff is None else mmdiff.layer(self.path)
        if mmdiff is None or layer is None:
            more = {"temb": temb, **others} if "temb" in self._signature.parameters else others
            context = {"encoder_hidden_states": encoder_hidden_states, "attention_mask": attention_mask}
            output: Tensor = self.stock(attn, hidden_states, **context, **more)
            return output
        if attention_mask is not None:
            raise ModelError("attention masks cannot be combined with subjects; call the UNet without a mask")
        query = split_heads(_linear(hidden_states, layer.query, attn.to_q), attn.heads)  # (B, H, L, d)
        if layer.text is None:
            keys, rows = _self_key_value(attn, hidden_states, layer), mmdiff.condition.conditional_rows
            output = attend(query, keys)
            if mmdiff.recorder is not None:
                size = mmdiff.sizes[self.path]
                mmdiff.recorder.take_self_keys(self.path, size, query[-rows:], keys.key[-rows:])
        else:
            self._check(query, layer.text, mmdiff)
            output = self._cross(query, layer, layer.text, mmdiff)
        projection, dropout = attn.to_out
        merged = merge_heads(output)
        return dropout(_linear(merged, layer.output, cast(nn.Linear, projection), layer.output_bias))  # (B, L, width)

    def _check(self, query: Tensor, text: KeyValue, call: Forward) -> None:
        """Check that the condition was made for these hidden states. Args: query (B, H, L, d)."""
        rows, size = len(text.key), call.sizes.get(self.path)
        if len(query) != rows:
            raise ModelError(
                f"The condition is for {rows} row(s) and the UNet was called with {len(query)}: make one image a "
                "call, with the guidance of the request."
            )
        if size is not None and size[0] * size[1] != query.shape[2]:
            raise ModelError(
                "The image has another size than the condition: give the request the width and height of the image."
            )

    def _cross(self, query: Tensor, layer: LayerCondition, text: KeyValue, call: Forward) -> Tensor:
        """Return multimodal attention (B, H, L, d) of a query of that shape, recorded if the call has a recorder."""
        condition, recorder, request = call.condition, call.recorder, None
        if recorder is not None:
            words, owned, rows = condition.map_words, condition.owned, condition.conditional_rows
            recorder.take_keys(self.path, call.sizes[self.path], query[-rows:], text.key[-rows:])
            request = MapRequest(
                words, owned, rows, recorder.recording, layer.recorded_keys, shared_scores=recorder.shared_scores
            )
        gate = None if layer.image is None else _gate(query, text, layer.image, call, self.path)
        attended = multimodal_attention(query, text, layer.image, request, gate)
        if recorder is not None and attended.maps is not None:
            size = call.sizes[self.path]
            kinds = {kind: x.unflatten(-1, size) for kind, x in attended.maps.items()}
            recorder.add(LayerMaps(self.path, size, kinds))
        return attended.output


class _Announced:
    """A callable whose signature is ours and, behind it, whatever else a stock processor takes."""

    def __init__(self, ours: Callable[..., Tensor], stock: inspect.Signature) -> None:
        own = inspect.signature(ours)
        named = [p for p in own.parameters.values() if p.name not in ("self", "others")]
        known = {parameter.name for parameter in named}
        more = [p.replace(kind=p.KEYWORD_ONLY) for p in stock.parameters.values() if p.name not in known]
        more = [p for p in more if stock.parameters[p.name].kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        self.__signature__ = own.replace(parameters=[*named, *more])

    def __call__(self) -> None:
        """Be callable, as ``inspect`` wants it; nobody calls."""


def install(unet: UNet2DConditionModel) -> None:
    """Give every attention layer a :class:`ConditionedAttention`, except where the processor has weights of its own.

    The UNet's weights and state dict stay stock.
    """
    processors: dict[str, Any] = {}
    for path, attn in _attention_layers(unet):
        stock = attn.processor
        done = isinstance(stock, ConditionedAttention) or _has_weights(stock)
        processors[f"{path}.processor"] = stock if done else ConditionedAttention(path, stock)
    unet.set_attn_processor(processors)


def is_installed(unet: UNet2DConditionModel) -> bool:
    """Whether :func:`install` was called since the last :func:`uninstall` or change of processors."""
    return all(isinstance(x, ConditionedAttention) or _has_weights(x) for x in unet.attn_processors.values())


def check_no_ip_adapter(unet: UNet2DConditionModel) -> None:
    """Check that no attention layer has weights of its own, and none is to come from an image prompt.

    Raises:
        ModelError: subjects cannot be combined with those.
    """
    if unet.config.encoder_hid_dim_type == "ip_image_proj" or any(map(_has_weights, unet.attn_processors.values())):
        raise ModelError(
            "An IP-Adapter is loaded in the pipeline, and subjects cannot be combined with its picture: call the "
            "pipeline's unload_ip_adapter() first, or show that picture as a subject's photo."
        )


def _has_weights(processor: object) -> bool:
    return isinstance(processor, nn.Module)


def uninstall(unet: UNet2DConditionModel) -> None:
    """Put back the processors that :func:`install` found."""
    unet.set_attn_processor(
        {
            f"{path}.processor": getattr(attn.processor, "stock", attn.processor)
            for path, attn in _attention_layers(unet)
        }
    )


def cross_attention_layers(unet: UNet2DConditionModel) -> tuple[AttentionLayer, ...]:
    """Return the layers that look at the prompt, as :class:`AdapterConfig` wants them, in the UNet's order.

    Raises:
        ModelError: a layer is not of the kind that Stable Diffusion and SDXL have.
    """
    return tuple(_describe(path, attn) for path, attn in _attention_layers(unet) if attn.is_cross_attention)


def self_attention_layers(unet: UNet2DConditionModel) -> tuple[AttentionLayer, ...]:
    """Return the self-attention layers; order and errors as :func:`cross_attention_layers`."""
    return tuple(_describe(path, attn) for path, attn in _attention_layers(unet) if not attn.is_cross_attention)


def attention_paths(unet: UNet2DConditionModel) -> tuple[str, ...]:
    """Return the paths of the attention layers. The search is slower than a small layer: do it once."""
    return tuple(path for path, _ in _attention_layers(unet))


def layer_sizes(
    unet: UNet2DConditionModel, height: int, width: int, paths: Sequence[str] | None = None
) -> dict[str, tuple[int, int]]:
    """Return (h, w) of every attention layer's hidden states, for latents of that height and width, even odd.

    ``paths`` are those of :func:`attention_paths`, where they are known.
    """
    levels = [(height, width)]  # of the down blocks, then of the middle
    for block in unet.down_blocks:
        h, w = levels[-1]
        for layer in cast(Any, block).downsamplers or ():
            up = 1 if layer.padding else 0  # unpadded, diffusers rounds down
            h, w = (h + up) // 2, (w + up) // 2
        levels.append((h, w))
    blocks = {"mid_block": levels[-1]}
    for index in range(len(unet.down_blocks)):
        blocks[f"down_blocks.{index}"] = levels[index]
        blocks[f"up_blocks.{len(unet.down_blocks) - 1 - index}"] = levels[index]
    return {path: blocks[path.split(".attentions.")[0]] for path in paths or attention_paths(unet)}


def _attention_layers(unet: UNet2DConditionModel) -> Iterator[tuple[str, Attention]]:
    """Yield every attention layer with its path in the UNet."""
    for name in unet.attn_processors:
        path = name.removesuffix(".processor")
        yield path, cast(Attention, unet.get_submodule(path))


def _describe(path: str, attn: Attention) -> AttentionLayer:
    """Return a layer's shape; refuse a layer that our processor would not compute as the stock one does."""
    extras = (attn.group_norm, attn.spatial_norm, attn.norm_cross, attn.norm_q, attn.norm_k, attn.to_q.bias)
    plain = attn.scale_qk and not attn.residual_connection and attn.rescale_output_factor == 1
    if any(extra is not None for extra in extras) or not plain or attn.to_k is None:
        raise ModelError(f"the attention layer {path} is of a kind that MM-Diff is not made for: {attn}")
    return AttentionLayer(path, attn.query_dim, attn.cross_attention_dim, attn.inner_dim, attn.heads)


def _self_key_value(attn: Attention, hidden_states: Tensor, layer: LayerCondition) -> KeyValue:
    """Return keys and values of a self-attention. Args: hidden_states (B, L, width)."""
    key = split_heads(_linear(hidden_states, layer.key, attn.to_k), attn.heads)
    value = split_heads(_linear(hidden_states, layer.value, attn.to_v), attn.heads)
    return KeyValue(key, value)


def _linear(x: Tensor, merged: Tensor | None, frozen: nn.Linear, bias: Tensor | None = None) -> Tensor:
    """Apply the merged weight, or the frozen layer itself, whose weights may be offloaded until it is called."""
    return frozen(x) if merged is None else F.linear(x, merged, bias)


def _gate(query: Tensor, text: KeyValue, image: KeyValue, call: Forward, path: str) -> Gate | None:
    """Return where each subject may be in the layer at ``path``; None if all may be everywhere."""
    condition, rows = call.condition, call.condition.conditional_rows
    if condition.subjects is None or (condition.word_gating == 0 and condition.regions is None):
        return None
    words = condition.words[-rows:]
    gates = torch.ones(*words.shape, query.shape[2], device=query.device)  # (R, S, L)
    if condition.word_gating > 0:
        keys = KeyValue(text.key[-rows:], text.value[-rows:])
        gates = gates * word_gates(query[-rows:], keys, words, condition.word_gating)
    if condition.regions is not None:
        gates = gates * region_gates(condition.regions[-rows:], call.sizes[path])
    # Where the unconditional half sees blank photos, it sees them in the same places: guidance tells the halves apart.
    return Gate(gates.repeat(len(image.key) // rows, 1, 1), condition.subjects.owners)
