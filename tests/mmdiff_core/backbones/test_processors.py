"""Our processors inside diffusers' UNet: stock without a call, stateless with one, recorded or not."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from mmdiff_core.backbones.processors import (
    Call,
    ConditionedAttention,
    cross_attention_layers,
    install,
    layer_sizes,
    self_attention_layers,
    uninstall,
)
from mmdiff_core.errors import ModelError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.types import Recording
from tests.helpers.parts import (
    MapList,
    adapter_for,
    condition_for,
    latents,
    photo_features,
    run,
    text_states,
    tiny_unet,
)


@pytest.fixture
def unet() -> UNet2DConditionModel:
    unet = tiny_unet()
    install(unet)
    return unet


@pytest.fixture
def adapter(unet: UNet2DConditionModel) -> MMDiffAdapter:
    return adapter_for(unet)


def test_stock_without_a_call_and_after_uninstall(unet: UNet2DConditionModel) -> None:
    stock = tiny_unet()
    with torch.no_grad():
        expected = run(stock, latents(), None)
        assert torch.equal(run(unet, latents(), None), expected)
        assert unet.state_dict().keys() == stock.state_dict().keys()
        uninstall(unet)
        assert torch.equal(run(unet, latents(), None), expected)
    kinds = {name: type(processor) for name, processor in unet.attn_processors.items()}
    assert kinds == {name: type(processor) for name, processor in stock.attn_processors.items()}


def test_installing_twice_wraps_once(unet: UNet2DConditionModel) -> None:
    install(unet)
    uninstall(unet)
    assert not any(isinstance(processor, ConditionedAttention) for processor in unet.attn_processors.values())


def test_layers_are_described(unet: UNet2DConditionModel) -> None:
    cross, self_ = cross_attention_layers(unet), self_attention_layers(unet)
    assert {layer.path for layer in (*cross, *self_)} == {n.removesuffix(".processor") for n in unet.attn_processors}
    for layer in (*cross, *self_):
        attn = unet.get_submodule(layer.path)
        assert attn.to_q.weight.shape == (layer.inner, layer.width)
        assert attn.to_k.weight.shape == (layer.inner, layer.context)
        assert attn.heads == layer.heads


def test_an_unknown_kind_of_layer_is_refused(unet: UNet2DConditionModel) -> None:
    block = unet.mid_block.attentions[0].transformer_blocks[0]
    block.attn2 = Attention(32, 24, heads=2, dim_head=16, qk_norm="layer_norm")
    with pytest.raises(ModelError, match="mid_block"):
        cross_attention_layers(unet)


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (7, 10), (9, 5)])
def test_sizes_are_carried(unet: UNet2DConditionModel, adapter: MMDiffAdapter, size: tuple[int, int]) -> None:
    sizes, pixels = layer_sizes(unet, *size), {}
    hooks = [
        unet.get_submodule(path).register_forward_hook(lambda _, args, __, path=path: pixels.update({path: args[0]}))
        for path in sizes
    ]
    planes = {}
    for path in sizes:
        block = unet.get_submodule(path.split(".transformer_blocks")[0])
        hooks.append(block.register_forward_pre_hook(lambda _, args, path=path: planes.update({path: args[0].shape})))
    recorder = MapList()
    with torch.no_grad():
        run(unet, latents(2, *size), condition_for(adapter, unet, adapter.embed(photo_features())), recorder)
    for hook in hooks:
        hook.remove()
    assert {path: tuple(shape[-2:]) for path, shape in planes.items()} == sizes
    assert all(x.shape[1] == sizes[path][0] * sizes[path][1] for path, x in pixels.items())
    assert [maps.layer for maps in recorder.maps] == _in_order(unet, adapter)
    for maps in recorder.maps:
        assert maps.size == sizes[maps.layer]
        assert all(x.shape == (2, 2, *maps.size) for x in maps.kinds.values())


def _in_order(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> list[str]:
    """The layers as a forward meets them: down, middle, up."""
    blocks = ("down_blocks", "mid_block", "up_blocks")
    return sorted((x.path for x in adapter.config.cross_attention), key=lambda path: blocks.index(path.split(".")[0]))


def test_heads_apart(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    recorder = MapList(Recording(kinds=("image",), per_head=True))
    with torch.no_grad():
        run(unet, latents(2, 8, 12), condition_for(adapter, unet, adapter.embed(photo_features())), recorder)
    assert all(maps.kinds["image"].shape == (2, 2, 2, *maps.size) for maps in recorder.maps)


def test_recording_changes_nothing(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    with torch.no_grad():
        condition = condition_for(adapter, unet, adapter.embed(photo_features()))
        assert torch.equal(run(unet, latents(), condition, MapList()), run(unet, latents(), condition))


def test_interleaved_calls_share_nothing(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    other_adapter = adapter_for(unet, null_token=False, tokens=2)
    with torch.no_grad():
        first = condition_for(adapter, unet, adapter.embed(photo_features(seed=5)))
        second = condition_for(
            other_adapter, unet, other_adapter.embed(photo_features(seed=6)), states=text_states(2, 7)
        )
        x, y = latents(seed=8), latents(2, 12, 10, seed=9)
        alone = run(unet, x, first), run(unet, y, second)
        recorders = MapList(), MapList()
        for _ in range(2):
            together = run(unet, x, first, recorders[0]), run(unet, y, second, recorders[1])
            assert torch.equal(together[0], alone[0])
            assert torch.equal(together[1], alone[1])
        assert torch.equal(run(unet, x, None), run(tiny_unet(), x, None))
    assert len(recorders[0].maps) == len(recorders[1].maps) == 2 * len(adapter.config.cross_attention)
    assert recorders[0].maps[0].size != recorders[1].maps[0].size


def test_the_photo_matters_only_where_it_is_present(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    features = photo_features()
    features.present[0] = False
    with torch.no_grad():
        subjects = adapter.embed(features)
        with_photos = run(unet, latents(), condition_for(adapter, unet, subjects))
        without = run(unet, latents(), condition_for(adapter, unet, None))
    assert torch.equal(with_photos[0], without[0])
    assert not torch.allclose(with_photos[1], without[1], atol=1e-3)


@pytest.mark.parametrize("kinds", [(), ("text", "image")])
def test_gradient_checkpointing(unet: UNet2DConditionModel, adapter: MMDiffAdapter, kinds: tuple) -> None:
    """The same gradients, through the noise and through the maps; the replay is heard but no longer listened to."""

    def gradients() -> dict[str, torch.Tensor]:
        adapter.zero_grad()
        recorder = MapList(Recording(kinds=kinds)) if kinds else None
        noise = run(unet, latents(), condition_for(adapter, unet, adapter.embed(photo_features())), recorder)
        maps = [x for maps in recorder.maps for x in maps.kinds.values()] if recorder else []
        (noise.square().mean() + sum(x.square().mean() for x in maps)).backward()
        return {name: x.grad.clone() for name, x in adapter.named_parameters() if x.grad is not None}

    unet.train()
    plain = gradients()
    unet.enable_gradient_checkpointing()
    replayed = gradients()
    assert plain.keys() == replayed.keys()
    assert all(torch.allclose(x, replayed[name], rtol=1e-4, atol=1e-6) for name, x in plain.items())


def test_a_mask_is_refused_rather_than_ignored(unet: UNet2DConditionModel, adapter: MMDiffAdapter) -> None:
    condition = condition_for(adapter, unet, None)
    call = Call(condition, layer_sizes(unet, 16, 16))
    states = condition.text.states
    with pytest.raises(ModelError, match="mask"):
        unet(
            latents(),
            500,
            encoder_hidden_states=states,
            encoder_attention_mask=torch.ones(states.shape[:2]),
            cross_attention_kwargs={"mmdiff": call},
        )
