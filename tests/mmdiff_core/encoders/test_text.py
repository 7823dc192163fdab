"""The text encoder with fused words: the stock encoder where nothing is fused, differentiable where something is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmdiff_core.encoders.prompt import find_words, stack_tokens, tokenize
from mmdiff_core.encoders.text import FusedWords, TextEncoder, encode_text
from mmdiff_core.nn.fusion import WordFusion
from mmdiff_core.nn.records import PromptTokens
from tests.helpers import tiny

PROMPTS = [("a cat and a dog", ["cat", "dog"]), ("a beach", []), ("a dog in the snow", ["dog"])]


@pytest.fixture(scope="module")
def encoders() -> tuple[TextEncoder, TextEncoder]:
    """One without and one with a projection."""
    pipe = tiny.stable_diffusion_xl()
    return pipe.text_encoder.eval(), pipe.text_encoder_2.eval()


@pytest.fixture(scope="module")
def tokens() -> PromptTokens:
    return stack_tokens([tokenize(tiny.tokenizer(), *find_words(*prompt)) for prompt in PROMPTS])


def _fused(width: int, seed: int = 0) -> FusedWords:
    torch.manual_seed(seed)
    return FusedWords(WordFusion(width, scale=1.0), torch.randn(3, 2, width, requires_grad=True))


def test_plain_text_is_the_stock_encoders_bit_for_bit(
    encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens
) -> None:
    with torch.no_grad():
        for encoder in encoders:
            stock = encoder(tokens.ids, output_hidden_states=True)
            assert torch.equal(encode_text(encoder, tokens).states, stock.last_hidden_state)
            assert torch.equal(encode_text(encoder, tokens, penultimate=True).states, stock.hidden_states[-2])
        assert encode_text(encoders[0], tokens).pooled is None
        assert torch.equal(encode_text(encoders[1], tokens).pooled, stock.text_embeds)


def test_pooled_of_an_old_configuration(encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens) -> None:
    """Configurations that give the end token as 2 mean the highest id."""
    encoder = encoders[1]
    expected = encode_text(encoder, tokens).pooled
    right = encoder.config.eos_token_id
    encoder.config.eos_token_id = 2
    try:
        assert torch.equal(encode_text(encoder, tokens).pooled, expected)
    finally:
        encoder.config.eos_token_id = right


def test_photos_change_only_what_comes_after_their_word(
    encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens
) -> None:
    with torch.no_grad():
        plain = encode_text(encoders[0], tokens).states
        fused = encode_text(encoders[0], tokens, _fused(32)).states
    changed = (plain != fused).any(-1)  # (B, T)
    for row, words in enumerate(tokens.words.tolist()):
        first = min((word for word in words if word >= 0), default=77)
        assert not changed[row, :first].any()
        assert changed[row, first:].all()


def test_a_row_does_not_depend_on_its_batch(encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens) -> None:
    fused = _fused(32)
    with torch.no_grad():
        together = encode_text(encoders[0], tokens, fused).states
        alone = encode_text(
            encoders[0],
            PromptTokens(tokens.ids[2:], tokens.words[2:]),
            FusedWords(fused.fusion, fused.vectors[2:]),
        ).states
    assert torch.allclose(together[2:], alone, atol=1e-5)


def test_gradients_reach_photos_fusion_and_lora(
    encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens
) -> None:
    fused = _fused(32)
    deltas = {f"encoder.layers.1.self_attn.{name}": torch.zeros(32, 32, requires_grad=True) for name in _PROJECTIONS}
    encode_text(encoders[0], tokens, fused, deltas=deltas).states.square().sum().backward()
    assert fused.vectors.grad is not None
    marked = tokens.words >= 0
    assert (fused.vectors.grad[marked].abs().sum(-1) > 0).all()
    assert (fused.vectors.grad[~marked] == 0).all()
    assert all(_moves(parameter.grad) for parameter in fused.fusion.parameters())
    assert all(_moves(delta.grad) for delta in deltas.values())


_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


def _moves(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.abs().sum() > 0)


def test_delta_is_the_weights_own_change(encoders: tuple[TextEncoder, TextEncoder], tokens: PromptTokens) -> None:
    delta = torch.randn(48, 48, generator=torch.Generator().manual_seed(1)) * 0.1
    changed = tiny.stable_diffusion_xl().text_encoder_2.eval()
    with torch.no_grad():
        changed.text_model.encoder.layers[0].self_attn.v_proj.weight += delta
        expected = encode_text(changed, tokens)
        ours = encode_text(encoders[1], tokens, deltas={"encoder.layers.0.self_attn.v_proj": delta})
    assert torch.allclose(ours.states, expected.states, atol=1e-5)
    assert torch.allclose(ours.pooled, expected.pooled, atol=1e-5)
