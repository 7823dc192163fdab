"""A subject's card: what it holds, what dropped photos become, and whose face is meant."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from demo.studio.subject_card import SubjectCard
from mmdiff_core.types import FaceChoice
from tests.helpers.faces import BLUE, RED, Squares, group


@pytest.fixture
def card() -> SubjectCard:
    card = SubjectCard(1, side=64)
    with gr.Blocks():
        card.render(visible=True)
    return card


def test_a_card_is_read_as_it_stands(card: SubjectCard, photo: str) -> None:
    values = {card.name: " cat ", card.photos: [(photo, None)], card.strength: 0.5, card.rejected: ("no photo",)}
    form = card.read(values | {card.choices: {}})
    assert (form.slot, form.name, form.photos, form.strength) == (1, "cat", (photo,), 0.5)
    assert (form.rejected, form.faces) == (("no photo",), ())
    empty = card.read({card.name: None, card.photos: None, card.strength: 1, card.rejected: (), card.choices: {}})
    assert empty.blank


def test_filling_writes_to_the_card_s_own_fields(card: SubjectCard, photo: str) -> None:
    update = card.fill("robot", [photo], 0.7, ("left out",))
    assert set(update) <= set(card.targets)
    assert (update[card.name], update[card.photos], update[card.strength]) == ("robot", [photo], 0.7)
    assert 'data-cut="1,0"' in update[card.seen]
    assert card.fill("", None)[card.photos] is None


def test_dropped_photos_are_checked_and_the_gallery_is_written_only_where_it_must_be(
    card: SubjectCard, photo: str, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"no picture")
    gallery, seen, rejected = card._check([(photo, None), (str(torn), None)])
    assert gallery == [photo]
    assert "torn.png" in rejected[0]
    assert seen.count("<img") == 1
    untouched, _, rejected = card._check([(photo, None)])
    assert (untouched, rejected) == (gr.skip(), ())


def test_clicks_choose_faces_of_the_photos_that_are_there(tmp_path: Path) -> None:
    path = str(tmp_path / "two.png")
    group(RED, BLUE).save(path)
    card = SubjectCard(0, side=64, faces=Squares())
    with gr.Blocks():
        card.render(visible=True)
    photos, choices = [(path, None)], {}
    card._choose(gr.EventData(None, {"photo": 0, "face": 2}), photos, choices)
    card._weigh(gr.EventData(None, {"photo": 0, "weight": 0.5}), photos, choices)
    card._choose(gr.EventData(None, {"photo": 7, "face": 1}), photos, {})  # it was removed in the meantime
    values = {card.name: "man", card.photos: photos, card.strength: 1, card.rejected: (), card.choices: choices}
    assert card.read(values).faces == (FaceChoice(2, 0.5),)
    assert card._find(photos, choices)["photos"][0]["chosen"] == 2
