"""Cards, prompt and chips: what their events change."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from demo.form.examples import EXAMPLES, RandomToys
from demo.page import build_ui
from demo.server.limits import MAX_SUBJECTS
from demo.studio.generate import GenerationRunner
from demo.words.word_notes import WordReader
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, Vocabulary
from tests.helpers.faces import Squares
from tests.helpers.stand_in import StandIn, Values


def test_blank_cards_do_not_count(generation: GenerationRunner, values: Values) -> None:
    form = generation.form.read(values)
    assert form.prompt == "a cat and a robot"
    assert [(subject.slot, subject.name) for subject in form.subjects] == [(0, "cat"), (1, "robot")]


def test_cards_beyond_those_of_a_saved_picture_keep_their_photos(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    one = compose.restore({"subjects": [{"name": "fox", "strength": 1, "photos": 2}]})
    assert one[compose.cards[0].name] == "fox"
    assert one[compose.count] == 1
    assert all(card.photos not in one for card in compose.cards)
    assert compose.restore({"subjects": []}) == {}


def test_hidden_cards_do_not_count(generation: GenerationRunner, values: Values) -> None:
    form = generation.form.read(values | {generation.form.compose.count: 1})
    assert [subject.name for subject in form.subjects] == ["cat"]


def test_removing_a_card_moves_the_others_up(generation: GenerationRunner, values: Values, photo: str) -> None:
    compose = generation.form.compose
    update = compose._remove(0, values | {compose.cards[1].strength: 0.5})
    first, second = compose.cards[:2]
    assert (update[first.name], update[first.photos], update[first.strength]) == ("robot", [photo], 0.5)
    assert (update[second.name], update[second.photos]) == ("", None)
    assert update[compose.count] == 2
    assert compose.prompt not in update  # what was typed stays


def test_no_more_cards_than_there_are(generation: GenerationRunner) -> None:
    update = generation.form.compose._add(MAX_SUBJECTS)
    assert update[generation.form.compose.count] == MAX_SUBJECTS
    assert update[generation.form.compose.add]["visible"] is False


def test_an_example_fills_the_page(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    update = compose.fill(EXAMPLES[0].content())
    assert update[compose.prompt] == EXAMPLES[0].prompt
    assert [update[card.name] for card in compose.cards] == ["cat", "robot", "", ""]
    assert set(update) <= set(compose.targets())


def test_an_example_that_two_people_pick_is_written_once(
    generation: GenerationRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    compose = generation.form.compose

    def pick() -> list[tuple[str, int, bytes]]:
        update = compose.fill(EXAMPLES[0].content())
        paths = [Path(path) for card in compose.cards[:2] for path in update[card.photos]]
        return [(str(path), path.stat().st_ino, path.read_bytes()[:8]) for path in paths]

    first = pick()
    assert {magic for _, _, magic in first} == {b"\x89PNG\r\n\x1a\n"}
    assert pick() == first  # the first person's browser may be reading it


def test_the_die_writes_a_prompt_only_where_there_is_none(generation: GenerationRunner) -> None:
    compose, card = generation.form.compose, generation.form.compose.cards[0]
    update = compose._draw_toy(card, {card.name: "cat", card.strength: 0.5, compose.prompt: "my own cat"})
    assert (update[compose.prompt], update[card.strength]) == ("my own cat", 0.5)
    assert "cat" in compose._draw_toy(card, {card.name: "cat", card.strength: 1, compose.prompt: ""})[compose.prompt]


def _event(**data: object) -> gr.EventData:
    return gr.EventData(None, data)


def test_a_word_goes_to_one_subject_and_from_another(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    first, second, third, fourth = compose.cards
    update = compose._assign(_event(word="Robot", slot=0), values)
    assert (update[first.name], update[second.name]) == ("Robot", "")
    assert compose._assign(_event(word="cat", slot=None), values) == {first.name: ""}
    update = compose._assign(_event(word="and", slot=3), values)
    assert (update[compose.count], update[fourth.name]) == (4, "and")
    assert third.name not in update


def test_a_word_that_stands_twice_has_room_for_two(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    first, second, *_ = compose.cards
    update = compose._assign(_event(word="cat", slot=1), values | {compose.prompt: "a cat and a cat"})
    assert update == {second.name: "cat"}
    update = compose._assign(_event(word="cat", slot=1), values)
    assert update == {first.name: "", second.name: "cat"}


def _draw(generation: GenerationRunner, prompt: str, old: str, new: str, *others: str) -> str:
    """The prompt after a new toy, ``new``, in the first card."""
    compose = generation.form.compose
    compose.toys = RandomToys(known=Vocabulary((new,), ("beach",), ("photo",)))
    first, *rest = compose.cards
    values = {compose.prompt: prompt, compose.count: 1 + len(others), first.name: old, first.strength: 1}
    values |= {card.name: name for card, name in zip(rest, others, strict=False)}
    return str(compose._draw_toy(first, values)[compose.prompt])


@pytest.mark.parametrize(
    ("prompt", "old", "new", "others", "grown"),
    [
        ("", "", "bear", (), "a bear on the beach"),
        ("a cat in space", "", "bear", ("cat",), "a cat and a bear in space"),
        ("a cat in space", "", "cat", ("cat",), "a cat and another cat in space"),
        ("a cat and a cat", "", "cat", ("cat",), "a cat and a cat"),
        ("a dragon in space", "dragon", "owl", (), "an owl in space"),
        ("a dragon in space", "dragon", "owl", ("dragon",), "a dragon and an owl in space"),  # the other one's word
        ("a bear in space", "", "bear", (), "a bear in space"),
    ],
)
def test_a_new_toy_is_named_in_the_prompt(
    generation: GenerationRunner, prompt: str, old: str, new: str, others: tuple[str, ...], grown: str
) -> None:
    assert _draw(generation, prompt, old, new, *others) == grown


@pytest.mark.parametrize(
    ("prompt", "name"),
    [("eine Katze am Strand", "Katze"), ("un gato en la playa", "gato"), ("海滩上的一只猫", "猫")],
)
def test_a_new_toy_puts_a_foreign_prompt_into_english(generation: GenerationRunner, prompt: str, name: str) -> None:
    """A toy's name is English: beside words of another language it would be read alone."""
    compose = generation.form.compose
    compose.reader, compose.toys = (
        WordReader(FIRST_WORLD),
        RandomToys(known=Vocabulary(("bear",), ("beach",), ("photo",))),
    )
    first, second, *_ = compose.cards
    values = {compose.prompt: prompt, compose.count: 2, first.name: name, second.name: "", second.strength: 1}
    update = compose._draw_toy(second, values)
    assert (update[compose.prompt], update[first.name], update[second.name]) == (
        "a cat and a bear on the beach",
        "cat",
        "bear",
    )


@pytest.mark.parametrize(
    ("prompt", "others", "drawn"),
    [
        ("a penguin on the beach", (), "penguin"),
        ("a cat next to a Robot", ("cat",), "Robot"),
        ("a cat and a cat", ("cat",), "cat"),
    ],
)
def test_a_new_toy_is_the_one_that_the_prompt_waits_for(
    generation: GenerationRunner, prompt: str, others: tuple[str, ...], drawn: str
) -> None:
    compose = generation.form.compose
    first, *rest = compose.cards
    values = {compose.prompt: prompt, compose.count: 1 + len(others), first.name: "", first.strength: 1}
    values |= {card.name: name for card, name in zip(rest, others, strict=False)}
    for _ in range(3):  # by chance it would be another
        update = compose._draw_toy(first, values)
        assert (update[first.name], update[compose.prompt]) == (drawn, prompt)


@pytest.mark.parametrize(
    ("prompt", "names", "named"),
    [
        ("a kitten on the beach", ("", None), "kitten"),
        ("a cat and a robot", ("", "robot"), "cat"),  # the other is taken
        ("a cat and another cat", ("", "cat"), "cat"),
        ("a cat and a robot", ("", None), None),  # which of the two?
        ("a dragon on the beach", ("", None), None),
        ("a cat on the beach", ("my cat", None), None),  # it has one
        ("a cat on the beach", ("", ""), None),  # which of the photos?
        ("", ("", None), None),
    ],
)
def test_a_photo_takes_the_one_name_that_the_prompt_has_for_it(
    generation: GenerationRunner, values: Values, prompt: str, names: tuple[str | None, ...], named: str | None
) -> None:
    """``names``: of the cards with photos."""
    compose = generation.form.compose
    compose.reader = WordReader(FIRST_WORLD)
    values = values | {compose.prompt: prompt, compose.undo.stack: ()}
    for card, name in zip(compose.cards, names, strict=False):
        values |= {card.name: name or ""} | ({card.photos: None} if name is None else {})
    update = compose._take_name(values)
    assert update.get(compose.cards[0].name) == named
    if named is None:
        assert update == {compose.undo.stack: gr.skip()}
        return
    undone = compose.undo.last(values | update | {compose.undo.stack: update[compose.undo.stack]}, compose.names)
    assert undone[compose.cards[0].name] == ""


def test_a_note_s_change_is_made_where_the_prompt_is_still_the_same(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    event = _event(start=2, was="dragon", text="owl", names={"1": "owl"})
    assert compose._amend(event, " a dragon in space") == {
        compose.prompt: "a owl in space",
        compose.cards[1].name: "owl",
    }
    assert compose.cards[1].name not in compose._amend(event, "a wizard in space")


def test_a_known_phrase_is_written(generation: GenerationRunner) -> None:
    compose = generation.form.compose
    event = _event(kind="place", phrase="in space")
    assert compose._add_phrase(event, "a cat") == "a cat"  # no built-in model here
    compose.reader = WordReader(FIRST_WORLD)
    assert compose._add_phrase(event, "a cat in the snow") == "a cat in space"
    assert compose._add_phrase(_event(kind="?", phrase="x"), None) == ""


def test_a_name_is_taken_without_what_is_invisible(generation: GenerationRunner, values: Values) -> None:
    compose = generation.form.compose
    form = generation.form.read(values | {compose.cards[0].name: "\u200bcat \ufeff", compose.prompt: "\u200b"})
    assert form.subjects[0].name == "cat"
    assert form.prompt == ""


def test_a_dashed_chip_writes_its_name_into_the_prompt(generation: GenerationRunner) -> None:
    assert generation.form.compose._write(_event(name="owl"), "a cat") == "a cat and an owl"


@pytest.mark.parametrize("faces", [None, Squares()])
def test_consent_is_asked_for_where_faces_are_offered(faces: Squares | None) -> None:
    page = build_ui(StandIn(faces=faces), example=None)  # type: ignore[arg-type]
    shown = any(getattr(block, "elem_id", None) == "face-consent" for block in page.blocks.values())
    assert shown is (faces is not None)


def test_a_picture_that_becomes_a_photo_is_said_of_its_subject(
    generation: GenerationRunner, values: Values, photo: str
) -> None:
    compose = generation.form.compose
    kept = values | {compose.undo.stack: (), compose.cards[1].photos: None}
    nameless = kept | {compose.cards[1].name: ""}
    said = [compose.add_photo(each, photo)[compose.undo.toast].value for each in (kept, nameless)]
    assert [(record["what"], record["gaps"], record["steps"]) for record in said] == [
        ("undo_photo", {"name": "robot"}, 1),
        ("undo_photo_nameless", {"n": 2}, 1),
    ]
