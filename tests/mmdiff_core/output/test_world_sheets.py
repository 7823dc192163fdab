"""Contact sheets of the toy world: everything it has, below its name."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mmdiff_core.output import world_sheets
from mmdiff_core.output.image_grid import GAP, Line
from mmdiff_core.output.world_sheets import SheetRow, contact_sheet
from mmdiff_core.toyworld import render
from mmdiff_core.toyworld.render.renderer import to_bytes
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from tests.helpers.toy_scenes import scenes

SMALL = Vocabulary(("cat", "owl"), ("beach", "kitchen", "stage"), ("photo", "pixel art"), ("hat",))


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[SheetRow, ...]]:
    monkeypatch.setattr(world_sheets, "WHOLE_WORLD", SMALL)
    return dict(world_sheets.world_sheets(random.Random(0)))


def test_a_sheet_for_each_class_and_each_kind_of_name(sheets: dict[str, tuple[SheetRow, ...]]) -> None:
    assert sheets.keys() == {"noun_cat", "noun_owl", "places", "styles", "accessories", "scenes"}
    texts = {name: [row.texts for row in rows] for name, rows in sheets.items()}
    assert texts["places"] == [("beach",), ("kitchen",), ("stage",)]
    assert texts["styles"] == [("photo",), ("pixel art",)]
    assert texts["accessories"] == [("hat",)]


def test_rows_show_what_their_texts_say(sheets: dict[str, tuple[SheetRow, ...]]) -> None:
    for row in sheets["noun_cat"]:
        assert {placed.toy.class_name for scene in row.scenes for placed in scene.toys} == {"cat"}
        assert len({placed.toy.seed for scene in row.scenes for placed in scene.toys}) == 2
    for row in sheets["places"]:
        assert {scene.background for scene in row.scenes} == set(row.texts)
        assert [len(scene.toys) for scene in row.scenes] == [0] * 4 + [1] * 4
    first, second = sheets["styles"]
    assert {scene.style for scene in second.scenes} == {"pixel art"}
    assert [scene.toys for scene in first.scenes] == [scene.toys for scene in second.scenes]
    (hats,) = sheets["accessories"]
    assert {placed.wearing.kind for scene in hats.scenes for placed in scene.toys if placed.wearing} == {"hat"}
    for row in sheets["scenes"]:
        assert row.texts == tuple(scene.caption.text for scene in row.scenes)


def test_scenes_are_below_their_text() -> None:
    drawn = tuple(scenes(2))
    sheet = np.asarray(contact_sheet([SheetRow(("two scenes",), drawn)], 32))
    images = to_bytes(render(drawn, 32).images).permute(0, 2, 3, 1).numpy()
    top = Line("").height + 6 + GAP
    assert (sheet[:top] < 128).any()  # letters
    for i, image in enumerate(images):
        left = i * (32 + GAP)
        assert np.array_equal(sheet[top : top + 32, left : left + 32], image)


def test_a_text_for_each_scene_stands_above_it() -> None:
    drawn = tuple(scenes(2))
    sheet = np.asarray(contact_sheet([SheetRow(("", "mmmm"), drawn)], 48))
    band = sheet[: Line("").height + 6]
    assert (band[:, :50] == 255).all()
    assert (band[:, 50:] < 128).any()
