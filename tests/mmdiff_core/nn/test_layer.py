"""One attention layer: what text and image share, the null token, padding and the subjects' scales."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.layer import LayerLoras, LayerWeights, condition_layer, image_key_value, text_key_value
from mmdiff_core.nn.records import SubjectEmbeddings

ROWS, SUBJECTS, TOKENS = 2, 2, 3
K = SUBJECTS * TOKENS
LAYER = AttentionLayer("layer", width=12, context=10, inner=16, heads=2)


@pytest.fixture
def attention() -> Attention:
    """The frozen layer of the base model."""
    torch.manual_seed(0)
    return Attention(LAYER.width, LAYER.context, heads=LAYER.heads, dim_head=LAYER.inner // LAYER.heads)


def _loras(image: bool = True, null_token: bool = True) -> LayerLoras:
    torch.manual_seed(1)
    loras = LayerLoras(LAYER, 4, None, image, null_token)
    for parameter in loras.parameters():
        torch.nn.init.normal_(parameter)
    return loras


@pytest.fixture
def weights(attention: Attention) -> LayerWeights:
    return _loras().add_to(attention)


def _subjects(present: Tensor | None = None, weights: Tensor | None = None) -> SubjectEmbeddings:
    tokens = torch.randn(ROWS, K, LAYER.context, generator=torch.Generator().manual_seed(2))
    present = torch.ones(ROWS, K, dtype=torch.bool) if present is None else present
    return SubjectEmbeddings((), tokens, torch.arange(SUBJECTS).repeat_interleave(TOKENS), present, weights)


# ---------------------------------------------------------------- weights


def test_text_and_image_share_the_frozen_weight_and_have_a_lora_each(attention: Attention) -> None:
    loras = _loras()
    weights = loras.add_to(attention)
    for text, image, loras_of, frozen in (
        (weights.key, weights.key_image, (loras.key, loras.key_image), attention.to_k.weight),
        (weights.value, weights.value_image, (loras.value, loras.value_image), attention.to_v.weight),
    ):
        assert torch.allclose(text - loras_of[0].delta(), frozen, atol=1e-5)
        assert torch.allclose(image - loras_of[1].delta(), frozen, atol=1e-5)
        assert not torch.allclose(text, image, atol=0.1)


def test_a_fresh_layer_is_the_frozen_one(attention: Attention) -> None:
    fresh = LayerLoras(LAYER, 4, None, image=True, null_token=True).add_to(attention)
    assert torch.equal(fresh.query, attention.to_q.weight)
    assert torch.equal(fresh.key_image, attention.to_k.weight)
    assert torch.equal(fresh.value_image, attention.to_v.weight)
    assert torch.equal(fresh.output, attention.to_out[0].weight)
    assert torch.equal(fresh.output_bias, attention.to_out[0].bias)
    assert not fresh.null_key.any()


def test_without_an_image_branch_there_is_no_image_term(attention: Attention) -> None:
    loras = _loras(image=False)
    weights = loras.add_to(attention)
    assert not any("image" in name or "null" in name for name in loras.state_dict())
    assert image_key_value(weights, _subjects(), torch.ones(ROWS, SUBJECTS)) is None


def test_the_image_may_have_weights_of_its_own(attention: Attention) -> None:
    layer = LayerLoras(LAYER, 0, None, image=True, own_image_weights=True)
    assert sorted(layer.state_dict()) == ["key_image.weight", "value_image.weight"]
    weights = layer.add_to(attention, scale=0.5)
    assert weights.query is None, "the frozen layer is called as it is"
    assert weights.output is None
    assert torch.equal(weights.key, attention.to_k.weight)
    assert torch.equal(weights.key_image, layer.key_image.weight), "no LoRA, so that no scale counts"
    layer.key_image.start_from(attention.to_k.weight)
    assert torch.equal(layer.add_to(attention).key_image, attention.to_k.weight)


def test_weights_of_its_own_go_with_loras_on_the_rest(attention: Attention) -> None:
    layer = LayerLoras(LAYER, 4, None, image=True, own_image_weights=True)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    weights = layer.add_to(attention)
    assert torch.allclose(weights.key - layer.key.delta(), attention.to_k.weight, atol=1e-5)
    assert torch.equal(weights.key_image, layer.key_image.weight)


# ---------------------------------------------------------------- keys and values


def test_heads_lie_apart(weights: LayerWeights) -> None:
    states = torch.randn(ROWS, 5, LAYER.context)
    text = text_key_value(weights, states)
    assert text.key.shape == text.value.shape == (ROWS, LAYER.heads, 5, LAYER.inner // LAYER.heads)
    assert torch.allclose(text.key.transpose(1, 2).flatten(2), states @ weights.key.mT, atol=1e-5)


def test_the_null_token_has_its_own_key_a_zero_value_and_no_bias(weights: LayerWeights) -> None:
    image = image_key_value(weights, _subjects(), torch.ones(ROWS, SUBJECTS))
    assert image.key.shape[2] == image.value.shape[2] == image.bias.shape[-1] == K + 1
    assert all(torch.equal(row[:, -1].flatten(), weights.null_key) for row in image.key)
    assert not image.value[:, :, -1].any()
    assert image.value[:, :, :-1].abs().sum(-1).min() > 0
    assert not image.bias.any()


def test_padding_gets_minus_infinity_and_no_value(weights: LayerWeights) -> None:
    present = torch.ones(ROWS, K, dtype=torch.bool)
    present[0, TOKENS:] = False
    image = image_key_value(weights, _subjects(present), torch.ones(ROWS, SUBJECTS))
    assert image.bias[0, 0, 0].tolist() == [0.0] * TOKENS + [float("-inf")] * TOKENS + [0.0]
    assert not image.bias[1].any()
    assert not image.value[0, :, TOKENS:].any()


def test_without_a_null_token_a_row_without_photos_has_no_bias(attention: Attention) -> None:
    """A softmax over nothing but -inf would give no number; the zero values leave the row without an image term."""
    present = torch.zeros(ROWS, K, dtype=torch.bool)
    present[1, 0] = True
    weights = _loras(null_token=False).add_to(attention)
    image = image_key_value(weights, _subjects(present), torch.ones(ROWS, SUBJECTS))
    assert image.bias.shape == (ROWS, 1, 1, K)
    assert not image.bias[0].any()
    assert not image.value[0].any()
    assert image.bias[1, 0, 0].isinf().tolist() == [False] + [True] * (K - 1)


def test_a_scale_multiplies_the_values_of_its_subject_alone(weights: LayerWeights) -> None:
    whole, scaled = (
        image_key_value(weights, _subjects(), torch.tensor([[1.0, second]] * ROWS)) for second in (1.0, 0.25)
    )
    assert torch.equal(whole.key, scaled.key)
    assert torch.equal(whole.value[:, :, :TOKENS], scaled.value[:, :, :TOKENS])
    assert torch.allclose(whole.value[:, :, TOKENS:K] / 4, scaled.value[:, :, TOKENS:K])


def test_the_weight_of_a_token_multiplies_its_share_of_the_attention(weights: LayerWeights) -> None:
    counted = torch.ones(ROWS, K)
    counted[:, 0], counted[:, 1] = 0.5, 0.0
    bias = image_key_value(weights, _subjects(weights=counted), torch.ones(ROWS, SUBJECTS), full=True).bias
    assert torch.allclose(bias[0, 0, 0].exp(), torch.tensor([0.5, 0.0, *[1.0] * (K - 1)]))


# ---------------------------------------------------------------- a request's layer


def test_a_self_attention_layer_gets_weights_and_no_keys(attention: Attention) -> None:
    weights = _loras(image=False).add_to(attention)
    layer = condition_layer(weights, False, torch.randn(ROWS, 5, LAYER.context), _subjects(), torch.ones(ROWS, 2))
    assert torch.equal(layer.key, weights.key)
    assert torch.equal(layer.value, weights.value)
    assert layer.text is None
    assert layer.image is None


def test_a_cross_attention_layer_gets_the_keys_of_text_and_image(weights: LayerWeights) -> None:
    states, scales = torch.randn(ROWS, 5, LAYER.context), torch.ones(ROWS, SUBJECTS)
    layer = condition_layer(weights, True, states, _subjects(), scales, full=True)
    assert layer.key is None
    assert torch.equal(layer.text.key, text_key_value(weights, states).key)
    assert torch.equal(layer.image.value, image_key_value(weights, _subjects(), scales).value)
    assert layer.image.bias is None, "nothing is padding"
    assert condition_layer(weights, True, states, None, scales).image is None
