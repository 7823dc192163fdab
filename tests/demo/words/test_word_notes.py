"""Words that the model does not know or does not read, and what one click makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from transformers import AutoTokenizer

from demo.words.notes import Fix, PromptNotes
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.name_matching import occurrences
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD
from mmdiff_core.types import Word
from tests.helpers.paths import ROOT

READER = WordReader(FIRST_WORLD)


def _read(prompt: str, *names: str, reader: WordReader = READER) -> PromptNotes:
    spans = {i: occurrences(prompt, name)[:1] for i, name in enumerate(names)}
    words = [Word(i, prompt[slice(*span)], *span) for i, found in spans.items() for span in found]
    return reader.read(prompt, words, {i: names[i] for i, found in spans.items() if not found})


def _unknown(prompt: str) -> list[str]:
    return [prompt[slice(*span)] for span in _read(prompt).unknown]


def _after(prompt: str, fix: Fix) -> str:
    return prompt[: fix.start] + fix.text + prompt[fix.end :]


def _results(prompt: str, notes: PromptNotes, key: str) -> list[str]:
    """What the prompt becomes by each fix of the notes of a kind."""
    return [_after(prompt, fix) for note in notes.notes if note.key == key for fix in note.fixes]


@pytest.mark.parametrize(
    "prompt",
    [
        "a kitten next to a BUNNY on a sandy beach",
        "a photo of a robot wearing a red hat, in the city at night",
        "a cat with white paws and another cat, among the cactuses",
        "a half red half blue dinosaur between a car and a boat",
        "a cat’s ship",
        "",
    ],
)
def test_words_of_the_captions_are_known(prompt: str) -> None:
    assert _unknown(prompt) == []
    assert _read(prompt).notes == ()


def test_other_words_are_unknown_also_those_of_a_larger_vocabulary() -> None:
    assert _unknown("a dragon and an owl in a castle") == ["dragon", "owl", "castle"]
    assert WordReader(WHOLE_WORLD).knows("an owl at the volcano")
    assert not READER.knows("an owl")


def test_nothing_is_unknown_to_a_model_of_the_real_world() -> None:
    notes = _read("a dragon in a castle", "dragon", reader=WordReader())
    assert notes == PromptNotes()


def test_an_unknown_subject_is_replaced_with_its_name_and_its_article() -> None:
    notes = _read("an ostrich next to a cat on the beach", "ostrich", "cat")
    assert [note.values["word"] for note in notes.notes] == ["ostrich"]
    fixes = notes.notes[0].fixes
    assert [fix.label for fix in fixes] == [
        "dog",
        "rabbit",
        "bear",
        "penguin",
    ]  # the cat is there already; no *Leave out*
    assert [fix.names for fix in fixes] == [{0: "dog"}, {0: "rabbit"}, {0: "bear"}, {0: "penguin"}]
    assert _after("an ostrich next to a cat on the beach", fixes[0]) == "a dog next to a cat on the beach"


def test_an_unknown_place_is_replaced_by_places() -> None:
    prompt = "a cat in a haunted castle"
    results = _results(prompt, _read(prompt, "cat"), "unknown_place")
    assert results[:2] == ["a cat in the snow", "a cat in the forest"]  # with the same preposition
    assert len(results) == 5
    assert results[-1] == "a cat"  # left out


@pytest.mark.parametrize("prompt", ["my cat", "a cat is next to a dog", "the cat and then a very red dog", "is my"])
def test_words_that_show_nothing_are_not_told(prompt: str) -> None:
    notes = _read(prompt)
    assert (bool(notes.unknown), notes.notes) == (True, ())


def test_words_that_show_nothing_go_with_those_that_they_belong_to() -> None:
    prompt = "my, is flying over New York"
    place, others = _read(prompt).notes
    assert [place.values, others.values] == [{"word": "New York"}, {"words": ["flying"]}]
    assert _after(prompt, place.fixes[0]) == "my, is flying in the city at night"
    assert _after(prompt, others.fixes[0]) == "over New York"
    prompt = "a cat next to my dragon"
    assert _results(prompt, _read(prompt, "cat"), "unknown_word")[0] == "a cat next to a dog"


def test_a_slip_is_corrected() -> None:
    prompt = "a cat in the forrest"
    assert _results(prompt, _read(prompt, "cat"), "near_word") == ["a cat in the forest"]
    prompt = "a cat with a flower"
    assert _results(prompt, _read(prompt, "cat"), "near_word") == ["a cat with flowers"]


@pytest.mark.parametrize(
    ("prompt", "key", "first", "last"),
    [
        ("a cat on chess", "unknown_place", "a cat on the beach", "a cat"),
        ("a cat playing chess", "unknown_words", "a cat", "a cat"),
        ("a cute cat", "unknown_words", "a cat", "a cat"),  # no "dog cat"
        ("a cat on a sunny beach", "unknown_words", "a cat on a beach", "a cat on a beach"),  # no "beach beach"
        ("a cat with a sword", "unknown_word", "a cat with a dog", "a cat"),
        ("a cat in the style of van gogh", "unknown_words", "a cat", "a cat"),
    ],
)
def test_a_word_like_none_says_so_and_can_be_left_out(prompt: str, key: str, first: str, last: str) -> None:
    """No silly neighbour such as "chest" for "chess"."""
    (note,) = _read(prompt, "cat").notes
    results = [_after(prompt, fix) for fix in note.fixes]
    assert (note.key, results[0], results[-1]) == (key, first, last)


def test_a_pictograph_beside_unknown_words_is_named_as_well() -> None:
    (note,) = _read("a cat playing chess 🏖️").notes
    assert note.values["words"] == ["playing chess", "🏖️ (beach with umbrella)"]


@pytest.mark.parametrize(
    ("prompt", "shown", "after"),
    [
        ("a cat 🏖️ on the beach", "🏖️ (beach with umbrella)", "a cat on the beach"),
        ("a ❤️ cat", "❤️ (heavy black heart)", "a cat"),
        ("🐱 on the beach", "🐱 (cat face)", "a cat on the beach"),
        ("a 🐶 and a cat", "🐶 (dog face)", "a dog and a cat"),
        ("a cat 🐱", "🐱 (cat face)", "a cat"),
    ],
)
def test_a_pictograph_is_named(prompt: str, shown: str, after: str) -> None:
    (note,) = _read(prompt).notes
    assert note.values in ({"word": shown}, {"words": [shown]})
    assert _after(prompt, note.fixes[-1]) == after


def test_words_of_which_no_known_one_is_near_are_left_out_together() -> None:
    prompt = "masterpiece, best quality, ultra-detailed, a cat next to a robot, cinematic lighting, in the snow"
    notes = _read(prompt, "cat", "robot")
    assert [note.key for note in notes.notes] == ["unknown_words"]
    assert notes.notes[0].values["words"] == ["masterpiece", "best quality", "ultra-detailed", "cinematic lighting"]
    assert _results(prompt, notes, "unknown_words") == ["a cat next to a robot, in the snow"]


def test_a_style_is_no_toy() -> None:
    prompt = "an oil painting of a cat"
    assert _results(prompt, _read(prompt, "cat"), "unknown_words") == ["a cat"]
    everything = WordReader(WHOLE_WORLD)
    prompt = "an etching of a cat"
    assert "pixel art of a cat" in _results(prompt, _read(prompt, "cat", reader=everything), "unknown_word")


@pytest.mark.parametrize(
    ("prompt", "names", "english", "renamed"),
    [
        (
            "eine Katze neben einem Elefanten am Strand",
            ("Katze", "Elefant"),
            "a cat next to an elephant on the beach",
            2,
        ),
        ("un gato y un oso en la playa", ("gato", "oso"), "a cat and a bear on the beach", 2),
        ("一只猫和一只兔子在海滩上", ("猫", "兔子"), "a cat and a rabbit on the beach", 2),
        ("Ein HUND, im Schnee", (), "a dog, in the snow", 0),
    ],
)
def test_a_prompt_in_a_language_of_the_page_is_put_into_english(
    prompt: str, names: Sequence[str], english: str, renamed: int
) -> None:
    notes = _read(prompt, *names)
    assert [note.key for note in notes.notes] == ["reads_english"]
    assert _results(prompt, notes, "reads_english") == [english]
    assert len(notes.notes[0].fixes[0].names) == renamed


@pytest.mark.parametrize("toy", ["a unicorn", "ein Einhorn"])
def test_no_english_is_offered_that_has_no_more_known_words(toy: str) -> None:
    assert [note.key for note in _read(f"{toy} and a hat").notes] == ["unknown_word"]
    assert _results(toy, _read(f"{toy} am Strand"), "reads_english") == ["a unicorn on the beach"]


@pytest.mark.parametrize("prompt", ["a (black cat:1.3) in the snow", "a ((cat)) in the [snow]", "(a cat:1.3)"])
def test_the_signs_of_weights_are_no_words(prompt: str) -> None:
    assert _read(prompt, "cat") == PromptNotes()


@pytest.mark.parametrize(
    ("prompt", "after"),
    [
        ("(masterpiece:1.2), a cat", "a cat"),
        ("a (cat:1.3), [best quality]", "a (cat:1.3)"),
        ("a (dragon:1.3) in the forest", "a (cat:1.3) in the forest"),
        ("a cat in a (castle:1.3)", "a cat (in the snow:1.3)"),
        ("eine (Katze:1.3) am Strand", "a (cat:1.3) on the beach"),
        ("(eine Katze:1.3) [am Strand]", "a (cat:1.3) (on the beach:0.9091)"),
        ("一只(猫:1.3)在海滩上", "a (cat:1.3) on the beach"),
        ("a (catt:1.3)", "a (cat:1.3)"),
    ],
)
def test_corrections_keep_the_weights_of_words(prompt: str, after: str) -> None:
    (note,) = _read(prompt).notes
    assert _after(prompt, note.fixes[0]) == after


def test_a_weight_that_cannot_be_read_hides_no_note() -> None:
    assert [note.key for note in _read("a (dragon:99)").notes] == ["unknown_word", "unknown_words"]


@pytest.mark.parametrize("linked", ["in the {}", "on a {}", "{here}"])
@pytest.mark.parametrize("word", ["Strand", "Wald", "playa", "bosque", "海滩", "森林"])
def test_a_place_has_its_preposition_and_its_article_once(linked: str, word: str) -> None:
    here = {"Strand": "am", "Wald": "im", "playa": "en la", "bosque": "en el"}.get(word, "在")
    prompt = f"a cat {linked}".format(word, here=f"{here} {word}")
    english = "on the beach" if word in ("Strand", "playa", "海滩") else "in the forest"
    assert _results(prompt, _read(prompt), "reads_english") == [f"a cat {english}"]


@pytest.mark.parametrize("prompt", ["eine Katze am beach", "un gato en la beach", "一只猫在beach上"])
def test_an_english_place_loses_the_preposition_of_another_language(prompt: str) -> None:
    assert _results(prompt, _read(prompt), "reads_english") == ["a cat on the beach"]


def test_a_slip_is_no_word_of_another_language() -> None:
    """Although Spanish has "robot", too."""
    for prompt, after in (("a robbot in the snow", "a robot in the snow"), ("a cat at nite", "a cat at night")):
        notes = _read(prompt)
        assert [note.key for note in notes.notes] == ["near_word"]
        assert _results(prompt, notes, "near_word") == [after]
    assert [note.key for note in _read("zwei Roboter am Strand").notes] == ["reads_english"]


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("prompt", "name", "after"),
    [
        ("two robots", "robot", "a robot and another robot"),
        ("ten cats on the beach", "dog", "a cat and another cat on the beach"),
        ("a cat and two dogs", "cat", "a cat and a dog and another dog"),
    ],
)
def test_of_counted_toys_each_is_named(prompt: str, name: str, after: str) -> None:
    notes = _read(prompt, name)
    assert [note.key for note in notes.notes] == ["counted_toys"]
    assert _results(prompt, notes, "counted_toys")[0] == after
    assert all(_after(prompt, fix) == after for fix in notes.near.values())


def test_no_toy_is_offered_for_a_number() -> None:
    for number in ("two", "ten", "three", "12"):
        assert [note.key for note in _read(f"a cat and {number}", "cat").notes] == ["unknown_words"]


# ------------------------------------------------------------------ names that are nearly there


@pytest.mark.parametrize(
    ("prompt", "name", "after", "names"),
    [
        ("the cats on the beach", "cat", "the cat on the beach", {}),  # the model knows the name alone
        ("a catt on the beach", "cat", "a cat on the beach", {}),
        ("a cat on the beach", "catt", "a cat on the beach", {0: "cat"}),
        ("a cat on the beach", "(cat:1.3)", "a cat on the beach", {0: "cat"}),
    ],
)
def test_prompt_and_name_are_brought_together(prompt: str, name: str, after: str, names: dict[int, str]) -> None:
    fix = _read(prompt, name).near[0]
    assert (_after(prompt, fix), fix.names) == (after, names)


def test_a_model_of_the_real_world_reads_what_the_prompt_says() -> None:
    fix = _read("two cats on the beach", "cat", reader=WordReader()).near[0]
    assert (fix.label, fix.names) == ("cat → cats", {0: "cats"})


def test_two_names_do_not_take_one_word() -> None:
    assert set(_read("a catt", "cat", "cats").near) == {0}


# ------------------------------------------------------------------ what is not read


def test_words_beyond_the_encoder_s_length_are_counted() -> None:
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "assets/toybox/tokenizer", local_files_only=True)
    prompt = "masterpiece, best quality, ultra-detailed, a cat next to a robot, cinematic lighting, in the snow"
    notes = _read(prompt, "cat", reader=WordReader(None, [tokenizer]))
    assert notes.notes == ()  # several texts are read
    prompt = "in the snow, " * 95 + prompt
    notes = _read(prompt, "cat", reader=WordReader(None, [tokenizer]))
    assert [note.key for note in notes.notes] == ["unread_words"]
    assert notes.notes[0].values["limit"] == 8 * 46
    assert notes.is_read((0, 11))
    assert not notes.is_read((prompt.rindex("snow"), len(prompt)))
    assert _read("a cat", reader=WordReader(None, [tokenizer])).notes == ()


def test_words_are_told_once_and_those_that_are_not_read_as_such() -> None:
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "assets/toybox/tokenizer", local_files_only=True)
    prompt = "a cat, masterpiece, Masterpiece, " + "in the snow, " * 95 + "ultra-detailed"
    unknown, unread = _read(prompt, "cat", reader=WordReader(FIRST_WORLD, [tokenizer])).notes
    assert unknown.values == {"words": ["Masterpiece"]}
    assert unread.key == "unread_words"


def test_a_very_long_prompt_is_looked_at_in_part() -> None:
    notes = _read("qwertz uiop " * 5000)
    assert len(notes.unknown) == 10_000
    assert len(str(notes.notes[-1].values)) < 1000
