"""The compared methods of a denoising step: one forward each, of a pair for classifier-free guidance.

stock             the base model
ours              two subjects
ours_recorded     the same, with all maps recorded and copied to the host
  _apart          the same with separate heads and eight other words' maps, as the page records small models
ours_unmerged     the same as ours, with the LoRAs of queries and outputs as separate layers
ours_uncached     the same as ours, with keys and values computed in every step
ours_one, _four   one and four subjects
ip_adapter_plus   diffusers' own classes with two photos and as many tokens; its resampler runs in every step
daam_style        the base model, with all cross-attention by an explicit softmax and the maps of all tokens summed
word_recorded     the base model, with the map of one word recorded and copied to the host; the rest are summed
tokens_recorded   the same with the maps of all tokens
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from diffusers import DDIMScheduler
from diffusers.models.attention_processor import Attention, AttnProcessor2_0, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn
from torch.nn import functional as F

from mmdiff_core.backbones.processors import Call, ConditionedAttention, Forward
from mmdiff_core.benchmarks.bench_models import SUBJECTS, TOKENS, BenchModel
from mmdiff_core.benchmarks.timing import Method
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_recorder import InspectedCall, TokenRecorder
from mmdiff_core.inspection.token_table import PromptToken, TokenTable
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.attention import merge_heads, split_heads
from mmdiff_core.nn.layer import LayerLoras
from mmdiff_core.nn.lora import Lora
from mmdiff_core.nn.records import Condition
from mmdiff_core.types import Recording

TIMESTEP = 500
USUAL = Recording()
APART = Recording(per_head=True, words=True, tokens=tuple((token,) for token in range(1, 9)))


def make_methods(model: BenchModel) -> dict[str, Method]:
    """Return all methods, on one UNet."""
    merged = _conditioned(model)
    unmerged = _conditioned(model)
    for layer in model.adapter.config.cross_attention:
        loras = model.adapter.unet[layer.path]
        unmerged[f"{layer.path}.processor"] = UnmergedAttention(layer.path, AttnProcessor2_0(), loras)
    plain, recorded = model.condition(), model.condition(recorded=True)
    one, four = model.condition(1), model.condition(4)
    return {
        "stock": Method(_place(model, _stock(model)), lambda: _forward(model)),
        "ours": Method(_place(model, merged), lambda: _ours(model, plain)),
        "ours_recorded": Method(_place(model, merged), lambda: recorded_step(model, recorded)),
        "ours_unmerged": Method(_place(model, unmerged), lambda: _ours(model, plain)),
        "ours_uncached": Method(_place(model, merged), lambda: _ours(model, model.condition())),
        "ours_one": Method(_place(model, merged), lambda: _ours(model, one)),
        "ours_four": Method(_place(model, merged), lambda: _ours(model, four)),
        "ours_recorded_apart": Method(_place(model, merged), lambda: recorded_step(model, recorded, APART)),
        "ip_adapter_plus": _ip_adapter(model),
        "daam_style": _daam(model),
        "word_recorded": _recorded_tokens(model, 1),
        "tokens_recorded": _recorded_tokens(model, model.sizes.text_tokens - 2),  # all but the start and the end
    }


# ---------------------------------------------------------------- ours


def recorded_step(model: BenchModel, condition: Condition, recording: Recording = USUAL) -> AttentionMaps:
    """Take a recorded step; return its maps on the host."""
    recorder = Recorder(recording)
    recorder.begin_step()
    _ours(model, condition, recorder)
    return AttentionMaps(tuple(map(str, range(SUBJECTS)))).with_step(0, recorder.seal(), condition)


def _ours(model: BenchModel, condition: Condition, recorder: Recorder | None = None) -> Tensor:
    return _forward(model, {"mmdiff": Call(condition, model.layer_sizes, recorder)})


class UnmergedAttention(ConditionedAttention):
    """Queries and outputs through the frozen layer and the LoRA's two factors, as training libraries run them."""

    def __init__(self, path: str, stock: Callable[..., Tensor], loras: LayerLoras) -> None:
        super().__init__(path, stock)
        self.loras = loras

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
        assert mmdiff is not None
        layer = mmdiff.condition.layers[self.path]
        assert layer.text is not None
        query = attn.to_q(hidden_states) + _low_rank(self.loras.query, hidden_states)
        merged = merge_heads(self._cross(split_heads(query, attn.heads), layer, layer.text, mmdiff))
        projection, dropout = attn.to_out
        return dropout(projection(merged) + _low_rank(self.loras.output, merged))


def _low_rank(lora: Lora | None, x: Tensor) -> Tensor:
    assert lora is not None  # the measured adapter has LoRAs everywhere
    down, up = lora.factors
    return F.linear(F.linear(x, down), up)


# ---------------------------------------------------------------- the others


def _ip_adapter(model: BenchModel) -> Method:
    """Return IP-Adapter-Plus as diffusers runs it, with one photo per subject."""
    context, sizes = model.states.shape[-1], model.sizes
    projection = MultiIPAdapterImageProjection(
        [
            IPAdapterPlusImageProjection(
                embed_dims=sizes.patch_width, output_dims=context, hidden_dims=sizes.resampler_width, depth=4,
                dim_head=sizes.resampler_width // sizes.resampler_heads, heads=sizes.resampler_heads,
                num_queries=TOKENS,
            )
        ]
    ).to(model.states)  # fmt: skip
    processors = _stock(model)
    for layer in model.adapter.config.cross_attention:
        own = IPAdapterAttnProcessor2_0(layer.inner, layer.context, num_tokens=(TOKENS,))
        processors[f"{layer.path}.processor"] = own.to(model.states)
    photos = torch.randn(2, SUBJECTS, sizes.patches, sizes.patch_width).to(model.states)

    def prepare() -> None:
        _place(model, processors)()
        model.unet.encoder_hid_proj = projection
        model.unet.register_to_config(encoder_hid_dim_type="ip_image_proj")

    return Method(prepare, lambda: _forward(model, added={"image_embeds": [photos]}))


def _recorded_tokens(model: BenchModel, words: int) -> Method:
    """Return the base model with so many words recorded, as ``record_attention`` records them."""
    recorder = TokenRecorder(model.unet, TokenRecording(budget=None))
    names = tuple(f"word{number}" for number in range(1, 1 + words))
    tokens = tuple(PromptToken("word", name, (place,)) for place, name in enumerate(names, 1))
    rest = (0, *range(1 + words, model.sizes.text_tokens))
    table = TokenTable(" ".join(names), model.sizes.text_tokens, (PromptToken("others", "", rest), *tokens), ())
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(2)  # begins at TIMESTEP

    place = _place(model, _stock(model))

    def prepare() -> None:  # once an image
        place()
        recorder.begin_call(InspectedCall((table,), scheduler))

    def step() -> Tensor:
        output = _forward(model)
        recorder.close()
        return output

    return Method(prepare, step)


def _daam(model: BenchModel) -> Method:
    processors = _stock(model)
    maps: dict[str, Tensor] = {}
    for layer in model.adapter.config.cross_attention:
        processors[f"{layer.path}.processor"] = DaamStyle(layer.path, maps)
    return Method(_place(model, processors), lambda: _forward(model))


class DaamStyle:
    """Cross-attention by an explicit softmax; the conditional half's maps of all tokens are summed per head."""

    def __init__(self, path: str, sums: dict[str, Tensor]) -> None:
        self.path, self.sums = path, sums

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key)  # (B H, L, T)
        maps = probabilities[len(probabilities) // 2 :].mT.contiguous()  # (H, T, L)
        self.sums[self.path] = maps if self.path not in self.sums else self.sums[self.path] + maps
        merged = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        projection, dropout = attn.to_out
        return dropout(projection(merged))


# ---------------------------------------------------------------- all of them


def _forward(
    model: BenchModel, attention: Mapping[str, Any] | None = None, added: Mapping[str, Any] | None = None
) -> Tensor:
    with torch.no_grad():
        return model.unet(
            model.latents,
            TIMESTEP,
            encoder_hidden_states=model.states,
            added_cond_kwargs={**model.added, **(added or {})},
            cross_attention_kwargs=attention,
        ).sample


def _stock(model: BenchModel) -> dict[str, Any]:
    return {name: AttnProcessor2_0() for name in model.unet.attn_processors}


def _conditioned(model: BenchModel) -> dict[str, Any]:
    """Return our processors, as ``install`` places them."""
    stock = _stock(model)
    return {name: ConditionedAttention(name.removesuffix(".processor"), own) for name, own in stock.items()}


def _place(model: BenchModel, processors: Mapping[str, Any]) -> Callable[[], None]:
    """Return a function that puts processors into the UNet and removes what IP-Adapter needs there."""

    def prepare() -> None:
        model.unet.encoder_hid_proj = cast(nn.Module, None)  # first: it has attention layers, too
        model.unet.register_to_config(encoder_hid_dim_type=None)
        model.unet.set_attn_processor(dict(processors))

    return prepare
