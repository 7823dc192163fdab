"""The subjects' words are found in the prompt and in its tokens, or the message says what to change."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch

from mmdiff_core.encoders.prompt import (
    MAX_CHUNKS,
    find_words,
    other_words,
    pad_chunks,
    read_length,
    stack_tokens,
    tokenize,
    word_tokens,
)
from mmdiff_core.errors import PromptError
from tests.helpers import tiny


def _texts(prompt: str, *names: str) -> list[tuple[str, int]]:
    clean, words = find_words(prompt, names)
    assert [word.subject for word in words] == list(range(len(names)))
    assert all(clean[word.start : word.end] == word.text for word in words)
    return [(word.text, word.start) for word in words]


def test_names_in_any_order_and_case() -> None:
    assert _texts("A Cat next to a robot", "ROBOT", "cat") == [("robot", 16), ("Cat", 2)]


def test_a_name_without_spaces_around_it_is_found_where_its_script_has_none() -> None:
    assert _texts("一只猫在海滩上", "猫") == [("猫", 2)]
    assert _texts("ロボットと猫", "猫", "ロボット") == [("猫", 5), ("ロボット", 0)]
    with pytest.raises(PromptError, match="is not in the prompt"):
        find_words("一只cat在海滩上", ["at"])


def test_what_is_invisible_leaves_the_prompt() -> None:
    assert find_words("a c\u200bat\ufeff", ["ca\u00adt"])[0] == "a cat"
    with pytest.raises(PromptError, match="is empty"):
        find_words("\u200b", ["cat"])


def test_names_that_read_alike_are_counted_as_one() -> None:
    with pytest.raises(PromptError, match='2 subjects are named "STRASSE"'):
        find_words("a straße", ["straße", "STRASSE"])


def test_whole_words_only() -> None:
    assert _texts("a category, cats, a cat-like cat's nap", "cat") == [("cat", 29)]


def test_several_words_with_any_blanks() -> None:
    assert _texts("my  Black   cat sleeps", "black cat") == [("Black   cat", 4)]


def test_longer_names_choose_first() -> None:
    assert _texts("a black cat and a cat", "cat", "black cat") == [("cat", 18), ("black cat", 2)]


def test_nth_occurrence_for_a_shared_name() -> None:
    assert _texts("a dog, a dog and a dog", "dog", "Dog") == [("dog", 2), ("dog", 9)]


@pytest.mark.parametrize("name", ["naïve", "кот", "c++", "R2-D2"])
def test_other_letters_and_signs(name: str) -> None:
    assert _texts(f"a photo of {name.upper()} at home", name) == [(name.upper(), 11)]


def test_trigger_marks_the_word_before_it() -> None:
    clean, words = find_words("a tabby<|subj|> and a robot", ["my pet"])
    assert clean == "a tabby and a robot"
    assert words[0].text == "tabby"


def test_trigger_chooses_among_equal_words() -> None:
    assert _texts("a cat and a cat<|subj|>", "cat") == [("cat", 12)]


def test_name_goes_before_a_loose_trigger() -> None:
    assert _texts("a tabby<|subj|> and a robot", "robot", "my pet") == [("robot", 14), ("tabby", 2)]


def test_triggers_in_order_for_names_that_are_not_there() -> None:
    assert _texts("a man <|subj|> and a woman<|subj|>", "him", "her") == [("man", 2), ("woman", 12)]


def test_no_subject_at_all() -> None:
    assert find_words("a beach", []) == ("a beach", ())


@pytest.mark.parametrize(
    ("prompt", "names", "message"),
    [
        ("  ", ["cat"], "prompt is empty"),
        ("a dog", ["cat"], '"cat" is not in the prompt "a dog"'),
        ("a cat", ["cat", "cat"], '2 subjects are named "cat".*"a cat"'),
        ("a cat", ["cat", " "], 'Subject 2 has no name.*"a cat"'),
        ("a cat<|subj|> and a dog<|subj|>", ["cat"], '"dog" is marked.*more triggers than the 1 subject'),
        ("a cat<|subj|>", [], '"cat" is marked.*0 subject'),
        ("<|subj|> a cat", ["cat"], 'must follow the word.*"<.subj.> a cat"'),
    ],
)
def test_message_names_the_subject_and_shows_the_prompt(prompt: str, names: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        find_words(prompt, names)


def _token_texts(prompt: str, *names: str) -> list[str]:
    tokenizer = tiny.tokenizer()
    tokens = tokenize(tokenizer, *find_words(prompt, names))
    assert tokens.ids.shape == (1, 77)
    return tokenizer.convert_ids_to_tokens(tokens.ids[0, tokens.words[0]].tolist())


def test_token_of_a_word() -> None:
    assert _token_texts("A Robot, next to a CAT", "cat", "robot") == ["cat</w>", "robot</w>"]


def test_last_token_of_a_word_in_pieces() -> None:
    assert _token_texts("a zebra's photo", "zebra") == ["a</w>"]


def test_last_token_of_several_words() -> None:
    assert _token_texts("the black   cat", "black cat") == ["cat</w>"]


def test_letters_of_several_bytes() -> None:
    tokenizer = tiny.tokenizer()
    tokens = tokenize(tokenizer, *find_words("a кот on snow", ["кот"]))
    place = int(tokens.words)
    assert tokenizer.decode(tokens.ids[0, : place + 1], skip_special_tokens=True).split() == ["a", "кот"]


def test_word_past_the_limit() -> None:
    prompt = "a " * 80 + "cat"
    with pytest.raises(PromptError, match=r'"cat" comes too late in the prompt "a a .*first 75 tokens'):
        tokenize(tiny.tokenizer(), *find_words(prompt, ["cat"]))


def test_word_cut_in_the_middle() -> None:
    prompt = "a " * 73 + "zebra"
    with pytest.raises(PromptError, match='"zebra" comes too late'):
        tokenize(tiny.tokenizer(), *find_words(prompt, ["zebra"]))


def test_unread_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokenize(tiny.tokenizer(), "a cat " + "a " * 80 + "on the beach")
    assert "last 26 characters" in caplog.text
    assert "on the beach" not in caplog.text  # a log is not for people's words


def test_how_much_of_a_prompt_is_read() -> None:
    """All of a long prompt, in eight texts at most."""
    reading = read_length([tiny.tokenizer()], "a " * 599 + "cat on the beach")
    assert reading is not None
    assert (reading.end, reading.tokens, reading.limit) == (1201, 603, 600)
    assert read_length([tiny.tokenizer()], "a " * 74 + "cat on the beach").end == 164
    short = read_length([tiny.tokenizer()], "a cat")
    assert short is not None
    assert (short.end, short.tokens) == (5, 2)
    assert read_length([], "a cat") is None


def _ids(tokenizer, prompt: str) -> torch.Tensor:
    return tokenizer(prompt, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids


@pytest.mark.parametrize("prompt", ["", "a cat", "A black  cat, on the beach!", "a " * 100, "zebra кот 猫 (a)"])
@pytest.mark.parametrize("pad", [tiny.END, "!"])
def test_ids_are_the_tokenizers_own(prompt: str, pad: str) -> None:
    assert torch.equal(tokenize(tiny.tokenizer(pad), prompt).ids, _ids(tiny.tokenizer(pad), prompt))


@pytest.mark.parametrize("name", ["cat!", "cat.", "cat?!", "cat…", "cat™"])
def test_a_sign_at_the_end_of_a_name_takes_no_photo(name: str) -> None:
    plain = tokenize(tiny.tokenizer(), *find_words("a cat on the beach", ["cat"]))
    signed = tokenize(tiny.tokenizer(), *find_words(f"a {name} on the beach", [name]))
    assert torch.equal(signed.words, plain.words)
    assert torch.equal(signed.pieces, plain.pieces)


def test_a_name_of_signs_alone_keeps_them() -> None:
    assert tokenize(tiny.tokenizer(), *find_words("a !? here", ["!?"])).words.min() > 0


def test_all_pieces_of_a_name() -> None:
    tokens = tokenize(tiny.tokenizer(), *find_words("a black cat next to a zebra", ["black cat", "zebra"]))
    assert tokens.words.tolist() == [[3, 11]]
    assert tokens.pieces.tolist() == [[[2, 3, -1, -1, -1], [7, 8, 9, 10, 11]]]


def test_an_embedding_of_several_vectors_is_read_with_all_of_them() -> None:
    """As ``pipe.maybe_convert_prompt`` writes it out in stock pipelines."""
    pipe = tiny.stable_diffusion()
    vectors = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    pipe.load_textual_inversion({"<toy>": vectors}, token="<toy>")
    prompt = "a <toy> on the beach with <toy>, a cat"
    expected = _ids(pipe.tokenizer, pipe.maybe_convert_prompt(prompt, pipe.tokenizer))
    tokens = tokenize(pipe.tokenizer, *find_words(prompt, ["<toy>", "cat"]))
    assert torch.equal(tokens.ids, expected)
    assert tokens.pieces.tolist()[0][0] == [2, 3, 4]
    assert tokens.words[0, 0] == 4
    assert tokens.ids[0, tokens.words[0, 1]] == tokenize(pipe.tokenizer, "cat").ids[0, 1]


def test_long_prompts_are_read_in_several_texts() -> None:
    """Cut after a sentence, else after a phrase, else after a word, and never within the limit."""
    tokenizer = tiny.tokenizer()
    for prompt, starts in (
        ("a " * 30 + ". " + "the " * 60, [31]),
        ("a " * 30 + ", " + "the " * 60, [31]),
        ("a " * 72 + "zebra on the beach", [72]),
        ("a " * 75, []),
        ("x" * 200, [75, 150]),
    ):
        ids = tokenizer(prompt, add_special_tokens=False).input_ids
        tokens = tokenize(tokenizer, prompt, chunks=MAX_CHUNKS)
        bounds = [0, *starts, len(ids)]
        expected = [_text(tokenizer, ids[a:b]) for a, b in itertools.pairwise(bounds)]
        assert tokens.ids.reshape(-1, 77).tolist() == expected, prompt
    word = find_words("a " * 80 + "cat", ["cat"])
    assert tokenize(tokenizer, *word, chunks=MAX_CHUNKS).words.tolist() == [[77 + 1 + 80 - 75]]


def _text(tokenizer, ids: list[int]) -> list[int]:
    text = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return text + [tokenizer.pad_token_id] * (77 - len(text))


def test_prompts_of_one_length() -> None:
    tokenizer = tiny.tokenizer("!")
    long, short = pad_chunks([tokenize(tokenizer, text, chunks=MAX_CHUNKS) for text in ("a " * 100, "a cat")])
    assert long.ids.shape == short.ids.shape == (1, 154)
    words = tokenizer("a cat", add_special_tokens=False).input_ids
    assert short.ids[0].tolist() == [*_text(tokenizer, words), *_text(tokenizer, [])]


def test_batch_of_prompts_with_different_subjects() -> None:
    prompts = [("a cat and a dog", ["cat", "dog"]), ("a beach", []), ("a dog", ["dog"])]
    batch = stack_tokens([tokenize(tiny.tokenizer(), *find_words(*prompt)) for prompt in prompts])
    assert batch.ids.shape == (3, 77)
    assert torch.equal(batch.words, torch.tensor([[2, 5], [-1, -1], [2, -1]]))


def test_other_words_are_those_that_no_subject_owns() -> None:
    clean, words = find_words("A black cat, tom's dog and a hat", ["black cat", "dog"])
    others = other_words(clean, words)
    assert [word.text for word in others] == ["A", "tom's", "and", "a", "hat"]
    assert all(clean[word.start : word.end] == word.text for word in others)


def test_words_beyond_the_limit_have_no_token() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.model_max_length = 5
    prompt = "a cat on the beach"
    tokens = word_tokens(tokenizer, prompt, other_words(prompt, ()))
    assert [(word.text, token) for word, token in tokens.items()] == [("a", (1,)), ("cat", (2,)), ("on", (3,))]
