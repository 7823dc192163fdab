"""What is kept of a run's layers."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.errors import ModelError, PromptError, SettingsError
from mmdiff_core.inspection.token_collector import TokenCollector, TokenRecording, check_recording
from mmdiff_core.inspection.token_table import read_tokens
from tests.helpers import tiny

TABLES = [read_tokens(tiny.tokenizer(), prompt) for prompt in ("a cat on the beach", "a dog")]


def _layer(seed: int, tokens: int = 77) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 8, 4, generator=generator), torch.randn(2, 3, tokens, 4, generator=generator)


def test_prompts_of_several_lengths_have_their_own_rows_and_concepts() -> None:
    concept = torch.randn(1, 3, 2, 4)
    collector = TokenCollector(TABLES, TokenRecording(concepts=("robot",)), lambda _: [concept])
    assert collector.begin_step(0, 1)
    collector.take("a", (2, 4), *_layer(0))
    collector.end_step()
    for image, table in zip(collector.images, TABLES, strict=True):
        (record,) = image.records
        assert record.shares.shape == (len(table.tokens) + 1, 2, 4)
        assert torch.allclose(record.shares[:-1].float().sum(0), torch.ones(2, 4), atol=2e-3)
        assert 0 < image.at("robot").max() < 1


def test_a_step_that_is_not_kept_costs_nothing() -> None:
    collector = TokenCollector(TABLES, TokenRecording(steps=(1,)))
    assert not collector.begin_step(0, 2)
    collector.take("a", (2, 4), *_layer(0))
    collector.end_step()
    assert collector.images[0].records == ()
    assert collector.begin_step(1, 2)
    with pytest.raises(ModelError, match="No attention layer was seen"):
        collector.end_step()


def test_words_in_one_of_the_prompts_are_enough() -> None:
    images = TokenCollector(TABLES, TokenRecording(words=("dog",))).images
    assert [len(image.table.tokens) for image in images] == [4, 5]
    with pytest.raises(PromptError, match='"robot" is not in the prompt "a cat on the beach"'):
        TokenCollector(TABLES, TokenRecording(words=("robot",)))


def test_what_cannot_be_recorded_is_told() -> None:
    with pytest.raises(SettingsError, match='no cross-attention layer "b": there are a'):
        check_recording(TokenRecording(layers=("b",)), ["a"], [])
    with pytest.raises(SettingsError, match='memory budget "lots"'):
        check_recording(TokenRecording(budget="lots"), ["a"], [])
    with pytest.raises(SettingsError, match='no self-attention layer "b": there are c'):
        check_recording(TokenRecording(self_attention=("b", 0)), ["a"], ["c"])
    with pytest.raises(SettingsError, match="no step 7 to record: the call makes 2"):
        TokenCollector(TABLES, TokenRecording(steps=(7,))).begin_step(0, 2)
    collector = TokenCollector(TABLES, TokenRecording())
    collector.begin_step(0, 1)
    with pytest.raises(ModelError, match="reads 40 tokens and the prompt has 77"):
        collector.take("a", (2, 4), *_layer(0, tokens=40))
