"""Weights as people type them, and their effect, which is that of compel, the library that serves stock pipelines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compel import Compel, ReturnedEmbeddingsType

from mmdiff_core.encoders.prompt import MAX_CHUNKS, find_words, tokenize
from mmdiff_core.encoders.prompt_weights import PlainPrompt, read_weights, without_trigger_weights
from mmdiff_core.encoders.text import FusedWords, encode_text
from mmdiff_core.errors import PromptError
from mmdiff_core.nn.fusion import WordFusion
from mmdiff_core.nn.records import PromptTokens
from tests.helpers import tiny


@pytest.mark.parametrize(
    ("prompt", "text", "weighted"),
    [
        ("a cat on the beach", "a cat on the beach", {}),
        ("a (cat:1.3) on (the beach)", "a cat on the beach", {"cat": 1.3, "the beach": 1.1}),
        ("a [cat] on [[the]] beach", "a cat on the beach", {"cat": 1 / 1.1, "the": 1 / 1.21}),
        ("((a cat))", "a cat", {"a cat": 1.21}),
        ("(a (cat:1.5):0.8) dog", "a cat dog", {"a ": 0.8, "cat": 1.2}),
        ("(a [cat])", "a cat", {"a ": 1.1, "cat": 1.0}),
        ("(cat: 1.3 ) (dog:.5) (robot:+2)", "cat dog robot", {"cat": 1.3, "dog": 0.5, "robot": 2.0}),
        (r"a \(cat\) \[x\] \\", r"a (cat) [x] " + "\\", {}),
        (r"a (cat \(small\):1.3)", "a cat (small)", {"cat (small)": 1.3}),
        ("a cat :) and a dog (", "a cat :) and a dog (", {}),
        ("a ] cat ) [ dog", "a ] cat ) [ dog", {}),
        ("(a [cat) dog]", "(a cat) dog", {"cat) dog": 1 / 1.1}),
        ("at 12:30 (or 3:1)", "at 12:30 or 3", {"or 3": 1.0}),
        ("a () b", "a  b", {}),
        ("(:1.3) cat", " cat", {}),
        ("", "", {}),
    ],
)
def test_signs_and_weights(prompt: str, text: str, weighted: dict[str, float]) -> None:
    found, weights = read_weights(prompt)
    assert found == text
    expected = [1.0] * len(text)
    for part, weight in weighted.items():
        start = text.index(part)
        expected[start : start + len(part)] = [weight] * len(part)
    assert weights == pytest.approx(expected)


def test_a_weight_out_of_range_is_named() -> None:
    for prompt in ("a (cat:11)", "a (cat:-1)"):
        with pytest.raises(PromptError, match="must be from 0 to 10"):
            read_weights(prompt)


def test_triggers_take_their_weights_with_them() -> None:
    text, weights = read_weights("a (cat <|subj|>:1.3) and a [dog]<|subj|> here")
    clean, words = find_words(text, ["cat", "dog"])
    left = without_trigger_weights(text, weights)
    assert clean == "a cat and a dog here"
    assert len(left) == len(clean)
    assert [{left[index] for index in range(word.start, word.end)} for word in words] == [{1.3}, {1 / 1.1}]


# ---------------------------------------------------------------- as compel weighs, whose signs are others

SENTENCE = "a cat next to a dog. "
PROMPTS = [
    ("a cat on the beach", "a cat on the beach"),
    ("a (cat:1.4) on the beach", "a (cat)1.4 on the beach"),
    ("a (black cat:1.4) on the (beach:1.2)", "a (black cat)1.4 on the (beach)1.2"),
    ("a (cat:0.6) on the beach", "a (cat)0.6 on the beach"),
    ("a (cat:0.6) on (the beach:0.3), (dog:1.5)", "a (cat)0.6 on (the beach)0.3, (dog)1.5"),
    ("a (cat:0) on the beach", "a (cat)0 on the beach"),
    ("a ((cat:1.2):1.1) dog", "a ((cat)1.2)1.1 dog"),
    (SENTENCE * 14, SENTENCE * 14),
    (SENTENCE * 14 + "a (robot:1.3) in the [snow]", SENTENCE * 14 + f"a (robot)1.3 in the (snow){1 / 1.1}"),
    ("a " * 90 + "(cat:0.5) dog", "a " * 90 + "(cat)0.5 dog"),
]


def _ours(pipe, index: int, prompt: str, penultimate: bool) -> torch.Tensor:
    tokenizer, encoder = ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))[index]
    text, weights = read_weights(prompt)
    with torch.no_grad():
        tokens = tokenize(tokenizer, text, (), weights, MAX_CHUNKS)
        return encode_text(encoder, tokens, penultimate=penultimate).states


@pytest.mark.parametrize(("prompt", "in_compel"), PROMPTS)
@pytest.mark.parametrize("index", [0, 1])
def test_the_same_weighting_as_compel(index: int, prompt: str, in_compel: str) -> None:
    pipe = tiny.stable_diffusion_xl()
    tokenizer, encoder = ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))[index]
    for penultimate, kind in (
        (False, ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED),
        (True, ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED),
    ):
        library = Compel(tokenizer, encoder, truncate_long_prompts=False, returned_embeddings_type=kind)
        expected, ours = library(in_compel), _ours(pipe, index, prompt, penultimate)
        assert ours.shape == expected.shape
        assert (ours - expected).abs().max() < 2e-5


def test_a_photo_in_a_weighted_word_moves_away_from_the_blank_text() -> None:
    """``empty + weight (states - empty)`` at the word's token; the fusion itself comes before the encoder."""
    pipe = tiny.stable_diffusion()
    torch.manual_seed(0)
    fused = FusedWords(WordFusion(32), torch.randn(1, 1, 32))
    plain, weighted = (_with_word(pipe.tokenizer, prompt) for prompt in ("a cat here", "a (cat:1.5) here"))
    with torch.no_grad():
        states = encode_text(pipe.text_encoder, plain, fused).states
        empty = encode_text(pipe.text_encoder, tokenize(pipe.tokenizer, "")).states
        found = encode_text(pipe.text_encoder, weighted, fused).states
    place = int(plain.words)
    expected = states.clone()
    expected[:, place] = empty[:, place] + 1.5 * (states - empty)[:, place]
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, states, atol=1e-3)


def _with_word(tokenizer, prompt: str) -> PromptTokens:
    text, weights = read_weights(prompt)
    return tokenize(tokenizer, *find_words(text, ["cat"]), weights)


def test_the_pooled_text_is_that_of_the_first_text_without_weights(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion_xl()
    text, weights = read_weights("a (cat:1.5) and a (dog:0.5). " + "the beach " * 60)
    long = tokenize(pipe.tokenizer_2, text, (), weights, MAX_CHUNKS)
    first = tokenize(pipe.tokenizer_2, "a cat and a dog.")
    with torch.no_grad():
        found, expected = (encode_text(pipe.text_encoder_2, each).pooled for each in (long, first))
    assert torch.allclose(found, expected, atol=1e-5)


def test_places_of_a_plain_prompt_are_those_of_the_typed_one() -> None:
    prompt = r"a ((cat)) on \(the (beach:1.3)"
    plain = PlainPrompt.of(prompt)
    assert plain.text == "a cat on (the beach"
    for word in ("cat", "on", "(the", "beach"):
        start = plain.text.index(word)
        typed = plain.typed((start, start + len(word)))
        assert prompt[slice(*typed)] == word
        assert plain.read(typed) == (start, start + len(word))


@pytest.mark.parametrize(
    ("prompt", "text", "said", "after"),
    [
        ("a (cat:1.3) here", "a cat there", {}, "a (cat:1.3) there"),
        ("a (cat:1.3) here", "a dog here", {(2, 5): "dog"}, "a (dog:1.3) here"),
        (
            "(eine Katze) [hier]",
            "a cat here",
            {(0, 4): "a", (5, 10): "cat", (11, 15): "here"},
            "a (cat:1.1) (here:0.9091)",
        ),
        ("(red cat:1.3)", "a red cat", {}, "a (red cat:1.3)"),
        ("(cat:1.3) and cat", "cat and cat", {}, "(cat:1.3) and cat"),
        (r"(cat:1.3) \(here\)", "cat (here)", {}, r"(cat:1.3) \(here\)"),
        ("a (cat:1.3)", "a", {}, "a"),
    ],
)
def test_a_changed_text_keeps_the_weights_of_its_words(
    prompt: str, text: str, said: dict[tuple[int, int], str], after: str
) -> None:
    assert PlainPrompt.of(prompt).with_weights(text, said) == after
