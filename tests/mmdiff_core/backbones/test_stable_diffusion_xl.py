"""What Stable Diffusion XL reads beside the text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.stable_diffusion_xl import StableDiffusionXL, load_stable_diffusion_xl
from mmdiff_core.encoders.prompt import stack_tokens, tokenize
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.nn.records import PromptTokens, TextStates


@pytest.fixture(scope="module")
def backbone(sdxl: Path) -> StableDiffusionXL:
    return load_stable_diffusion_xl(sdxl)[0]


def _tokens(backbone: StableDiffusionXL, prompt: str) -> list[PromptTokens]:
    return [tokenize(tokenizer, prompt) for tokenizer in backbone.tokenizers]


def test_two_text_encoders_side_by_side(backbone: StableDiffusionXL) -> None:
    assert len(backbone.text_encoders) == len(backbone.tokenizers) == 2
    with torch.no_grad():
        text = backbone.encode_text(_tokens(backbone, "a cat"), [None, None], [{}, {}])
    widths = [encoder.config.hidden_size for encoder in backbone.text_encoders]
    assert text.states.shape[-1] == sum(widths)
    assert text.pooled is not None
    assert text.pooled.shape == (1, backbone.text_encoders[1].config.projection_dim)


def test_sizes_are_height_and_width_without_a_crop(backbone: StableDiffusionXL) -> None:
    added = backbone.added_conditions(TextStates(torch.zeros(2, 3, 4), torch.ones(2, 5)), (64, 32))
    assert added["time_ids"].tolist() == [[32, 64, 0, 0, 32, 64]] * 2
    assert torch.equal(added["text_embeds"], torch.ones(2, 5))


def test_without_a_projection_there_is_nothing_to_read(backbone: StableDiffusionXL) -> None:
    with pytest.raises(ValueError, match="must have a projection"):
        backbone.added_conditions(TextStates(torch.zeros(1, 3, 4)), (32, 32))


@torch.no_grad()
def test_a_blank_negative_prompt_is_zeros_if_the_model_says_so(backbone: StableDiffusionXL) -> None:
    blank, words = _tokens(backbone, ""), _tokens(backbone, "a cat")
    zeros = backbone.encode_negative(blank, [{}, {}])
    assert zeros.pooled is not None
    assert not zeros.states.any()
    assert not zeros.pooled.any()
    assert backbone.encode_negative(words, [{}, {}]).states.any()
    other = replace(backbone, zero_blank_negative=False)
    assert other.encode_negative(blank, [{}, {}]).states.any()


@torch.no_grad()
def test_rows_of_a_training_batch_that_see_no_text_are_what_inference_uses(backbone: StableDiffusionXL) -> None:
    captions = [_tokens(backbone, caption) for caption in ("a cat", "")]
    tokens = [stack_tokens(of_encoder) for of_encoder in zip(*captions, strict=True)]
    text = build_condition(backbone, None, {}, tokens, size=(32, 32)).text
    unconditional = backbone.encode_negative(captions[1], [{}, {}])
    assert torch.equal(text.states[1:], unconditional.states)
    assert torch.equal(text.pooled[1:], unconditional.pooled)
    alone = backbone.encode_text(captions[0], [None, None], [{}, {}])
    assert torch.allclose(text.states[:1], alone.states, atol=1e-6)
    assert torch.allclose(text.pooled[:1], alone.pooled, atol=1e-6)
