"""Words listed beside a prompt: the notes and the changes are those of the prompt's own words."""

from __future__ import annotations

import pytest

from demo.words.list_notes import list_notes, listed_spans, listed_words, without_items
from demo.words.notes import Fix
from demo.words.word_notes import WordReader
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD

READER = WordReader(FIRST_WORLD)


def _after(listed: str, fix: Fix) -> str:
    return listed[: fix.start] + fix.text + listed[fix.end :]


def test_an_unknown_word_gets_known_ones_for_it() -> None:
    listed = "dog, chess"
    (note,) = list_notes(READER, listed, "a cat on the beach")
    assert (note.key, note.values) == ("unknown_word", {"word": "chess"})
    assert [fix.label for fix in note.fixes] == ["rabbit", "bear", "penguin", "frog", "leave_words_out"]
    assert [_after(listed, fix) for fix in (note.fixes[0], note.fixes[-1])] == ["dog, rabbit", "dog"]


def test_a_slip_is_corrected_and_another_language_is_translated() -> None:
    (note,) = list_notes(READER, "rabit", "a cat")
    assert (note.key, note.fixes[0].text) == ("near_word", "rabbit")
    (note,) = list_notes(READER, "Hund, 兔子, frog", "a cat")
    assert (note.key, note.fixes[0].text) == ("reads_english", "dog, rabbit, frog")


@pytest.mark.parametrize("listed", ["unicorn", "hat, Unicorn", "hat, Einhorn"])
def test_no_english_is_offered_that_the_model_does_not_know(listed: str) -> None:
    (note,) = list_notes(READER, listed, "a cat")
    assert (note.key, note.values) == ("unknown_word", {"word": listed.split(", ")[-1]})
    translated, unknown = list_notes(READER, f"{listed}, Hund", "a cat")
    assert (translated.key, translated.fixes[0].text) == ("reads_english", f"{listed}, dog")
    assert unknown.values == note.values


def test_a_word_of_the_prompt_is_noted_whatever_the_model() -> None:
    for reader in (READER, WordReader()):
        (note,) = list_notes(reader, "dog, Cat", "a cat on the beach")
        assert (note.key, note.values) == ("in_the_prompt", {"word": "Cat"})
        assert _after("dog, Cat", note.fixes[0]) == "dog"
    assert list_notes(WordReader(), "chess", "a cat") == ()


def test_many_unknown_words_share_a_note() -> None:
    notes = list_notes(READER, "chess, sword, castle, moat, 🏰", "a cat")
    assert [note.key for note in notes] == ["unknown_word"] * 3 + ["unknown_words"]
    assert notes[-1].values["words"] == ["moat", "🏰 (european castle)"]
    assert notes[-1].fixes[0].text == "chess, sword, castle"


def test_the_items_of_a_list() -> None:
    listed = " dog, Dog，big sky; ! ,\n"
    assert listed_words(listed) == ("Dog", "big sky")
    assert [listed[slice(*span)] for span in listed_spans(listed)] == ["dog", "Dog", "big sky"]
    assert without_items(listed, listed_spans(listed)[1:2]) == "dog, big sky"
