"""Cards, prompt and chips: what their events change."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from demo.form.examples import EXAMPLES
from demo.server.limits import MAX_SUBJECTS
from demo.studio.generate import GenerationRunner
from tests.helpers.stand_in import Values


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


def test_a_dashed_chip_writes_its_name_into_the_prompt(generation: GenerationRunner) -> None:
    assert generation.form.compose._write(_event(name="owl"), "a cat") == "a cat and an owl"
