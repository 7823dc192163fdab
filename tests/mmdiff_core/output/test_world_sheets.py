"""Contact sheets of the toy world: which there are, what their rows hold, and how they are drawn."""

from __future__ import annotations

import random

import numpy as np
import pytest

from mmdiff_core.output import world_sheets
from mmdiff_core.output.image_grid import GAP
from mmdiff_core.output.world_sheets import SheetRow, contact_sheet
from mmdiff_core.toyworld.scenes.random_scenes import random_scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[SheetRow, ...]]:
    """The sheets of a small world."""
    small = Vocabulary(("cat", "owl"), ("beach", "kitchen"), ("photo", "pixel art"), ("hat",))
    monkeypatch.setattr(world_sheets, "WHOLE_WORLD", small)
    return dict(world_sheets.world_sheets(random.Random(0)))


def test_a_sheet_per_class_and_one_of_everything_else(rows: dict[str, tuple[SheetRow, ...]]) -> None:
    assert list(rows) == ["noun_cat", "noun_owl", "places", "styles", "accessories", "scenes"]
    assert all(len(row.scenes) == 8 for sheet in rows.values() for row in sheet)


def test_rows_show_what_they_say(rows: dict[str, tuple[SheetRow, ...]]) -> None:
    assert all(scene.toys[0].toy.class_name == "owl" for row in rows["noun_owl"] for scene in row.scenes)
    for row in rows["places"]:
        assert {scene.background for scene in row.scenes} == set(row.texts)
        assert [len(scene.toys) for scene in row.scenes] == [0] * 4 + [1] * 4
    assert [{scene.style for scene in row.scenes} for row in rows["styles"]] == [{"photo"}, {"pixel art"}]
    assert all(scene.toys[0].wearing.kind == "hat" for scene in rows["accessories"][0].scenes)
    assert all(row.texts == tuple(scene.caption.text for scene in row.scenes) for row in rows["scenes"])


def test_the_same_seed_gives_the_same_sheets() -> None:
    first, again = (next(world_sheets.world_sheets(random.Random(3))) for _ in range(2))
    assert first == again


def test_a_row_is_drawn_below_its_texts() -> None:
    scenes = tuple(random_scene(random.Random(1)) for _ in range(2))
    image = contact_sheet([SheetRow(("two scenes",), scenes)], 24)
    assert 2 * 24 < image.width <= 2 * 24 + 3 * GAP
    assert image.height > 24
    assert np.asarray(image)[-24:].std() > 10
