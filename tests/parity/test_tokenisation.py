"""Triggers mark the recorded tokens; where the official code goes wrong, ours does better or says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transformers import CLIPTokenizer

from mmdiff_core.encoders.prompt import TRIGGER, find_words, tokenize
from mmdiff_core.errors import PromptError
from mmdiff_core.nn.records import PromptTokens
from tests.parity.recordings import FOLDER

CASES: dict[str, dict[str, Any]] = {
    case["note"]: case for case in json.loads((FOLDER / "tokenisation.json").read_text())
}
BETTER = {
    "trigger after punctuation marks the punctuation": ("man", 2),
    "trigger inside a word: the cleaned prompt retokenises differently": ("woman", 2),
}
REFUSED = {
    "trigger first: BOS is marked",
    "trigger beyond 77 tokens: mark lost by truncation",
    "class word at id position 76: mark lands on the truncated EOS slot",
}


def _tokenizer(pad: str) -> CLIPTokenizer:
    recorded = json.loads((FOLDER / "tokenizer.json").read_text())
    merges = [tuple(pair) for pair in recorded["merges"]]
    return CLIPTokenizer(vocab=recorded["vocab"], merges=merges, model_max_length=77, pad_token=pad)


TOKENIZERS = {"ids_tokenizer": _tokenizer("<|endoftext|>"), "ids_tokenizer_2": _tokenizer("!")}


def _read(prompt: str, tokenizer: CLIPTokenizer) -> PromptTokens:
    marked = len([piece for piece in prompt.split(TRIGGER)[:-1] if piece])  # a doubled trigger leaves an empty piece
    clean, words = find_words(prompt, [f"subject {i}" for i in range(marked)])
    return tokenize(tokenizer, clean, words)


@pytest.mark.parametrize("which", TOKENIZERS)
@pytest.mark.parametrize("note", [note for note in CASES if note not in REFUSED])
def test_recorded_ids_and_marks(note: str, which: str) -> None:
    case, tokenizer = CASES[note], TOKENIZERS[which]
    tokens = _read(case["prompt"], tokenizer)
    recorded = case[which] + [case[which][-1]] * (77 - len(case[which]))  # the last id is the padding
    assert tokens.ids[0].tolist() == recorded
    if note in BETTER:
        clean, words = find_words(case["prompt"], ["somebody"])
        assert words[0].text == clean[words[0].start : words[0].end]
        assert (words[0].text, tokens.words.item()) == BETTER[note]
    else:
        assert tokens.words[0].tolist() == case["marked_positions"]


@pytest.mark.parametrize("note", sorted(REFUSED))
def test_a_lost_mark_is_refused(note: str) -> None:
    with pytest.raises(PromptError, match=r"park"):
        _read(CASES[note]["prompt"], TOKENIZERS["ids_tokenizer"])
