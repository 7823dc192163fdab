"""Every token in one row, whatever the prompt."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.errors import PromptError
from mmdiff_core.inspection.token_table import read_tokens
from tests.helpers import tiny


@pytest.mark.parametrize("prompt", ["a cat", "", "a cat, a dog and a zebra!", "the snow " * 60, "a 🐈 on the beach"])
def test_every_token_is_in_exactly_one_row(prompt: str) -> None:
    table = read_tokens(tiny.tokenizer(), prompt)
    assert torch.equal(table.groups.sum(0), torch.ones(77))
    assert table.groups.shape == (len(table.tokens), 77)
    assert all(token.places for token in table.tokens)


def test_what_each_row_is() -> None:
    table = read_tokens(tiny.tokenizer(), "a cat, on")
    assert [(token.kind, token.text, token.places[0]) for token in table.tokens] == [
        ("start", "<start>", 0),
        ("word", "a", 1),
        ("word", "cat", 2),
        ("sign", ",", 3),
        ("word", "on", 4),
        ("end", "<end>", 5),
        ("padding", "<padding>", 6),
    ]
    assert table.tokens[-1].places == tuple(range(6, 77))


def test_a_word_is_found_as_people_read_it() -> None:
    table = read_tokens(tiny.tokenizer(), "A cat and a black cat")
    assert table.rows_of("CAT") == (2,)
    assert table.rows_of("black cat") == (5, 6)
    assert table.rows_of(table.words[-1]) == (6,)
    assert table.rows_of("<rest>") == (0, 7, 8)
    assert table.rows_of("dog") == table.rows_of("<signs>") == ()


def test_words_beyond_the_limit_are_not_there() -> None:
    table = read_tokens(tiny.tokenizer(), "the snow " * 40 + "cat")
    assert len(table.words) == 75
    assert table.rows_of("cat") == ()
    assert [token.kind for token in table.tokens if token.kind in ("end", "padding")] == ["end"]


def test_a_long_prompt_in_several_texts_has_its_marks_summed() -> None:
    table = read_tokens(tiny.tokenizer(), "the snow " * 40 + "cat", 154)
    assert table.rows_of("cat")
    assert [token.places for token in table.tokens if token.kind == "start"] == [(0, 77)]
    assert torch.equal(table.groups.sum(0), torch.ones(154))
    padded = read_tokens(tiny.tokenizer(), "a cat", 154)
    assert [token.places for token in padded.tokens if token.kind == "end"] == [(3, 78)]
    assert torch.equal(padded.groups.sum(0), torch.ones(154))
    with pytest.raises(PromptError, match="has 90 tokens and its text 77"):
        read_tokens(tiny.tokenizer(), "a cat", 90)


def test_some_words_alone() -> None:
    table = read_tokens(tiny.tokenizer(), "a cat, a dog").only(["dog"])
    assert [(token.text, token.places) for token in table.tokens[:4]] == [
        ("<start>", (0,)),
        ("<other words>", (1, 2, 4)),
        ("<signs>", (3,)),
        ("dog", (5,)),
    ]
    assert torch.equal(table.groups.sum(0), torch.ones(77))
    assert table.word_rows == (1, 3)
