"""Contact sheets: a card for every record, twenty to a sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.output.image_grid import Line
from mmdiff_core.training.annotate import annotation_sheet
from mmdiff_core.training.annotate.annotation_sheet import IMAGE_SIDE, draw_card, draw_contact_sheets
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from tests.helpers import annotated

LINE_HEIGHT = Line("").height


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> AnnotatedFolder:
    return AnnotatedFolder(annotated.folder(tmp_path_factory.mktemp("data"), 3))


def test_a_card_tints_each_segment_in_its_colour(folder: AnnotatedFolder) -> None:
    record = folder.read(0)
    card = np.asarray(draw_card(folder, 0), dtype=float)
    assert card.shape[1:] == (IMAGE_SIDE, 3)
    assert len(card) > IMAGE_SIDE + (2 + len(record.annotation.segments)) * LINE_HEIGHT
    mask = np.asarray(Image.fromarray(record.mask).resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.NEAREST))
    plain = np.asarray(record.image.resize((IMAGE_SIDE, IMAGE_SIDE)), dtype=float)
    for place, segment in enumerate(record.annotation.segments):
        inside, tint = mask == segment.id, np.array(rgb(colour_of(place)))
        expected = (plain[inside].mean(0) + tint) / 2
        assert np.abs(card[:IMAGE_SIDE][inside].mean(0) - expected).max() < 25


def test_the_text_of_a_card_is_below_the_image(folder: AnnotatedFolder) -> None:
    below = np.asarray(draw_card(folder, 0))[IMAGE_SIDE:]
    lines = 2 + len(folder.annotations[0].segments)
    for row in range(lines):
        assert below[3 + row * LINE_HEIGHT : 3 + (row + 1) * LINE_HEIGHT].min() < 128


def test_every_record_is_on_a_sheet_and_old_sheets_go(
    folder: AnnotatedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotation_sheet, "ACROSS", 1)
    monkeypatch.setattr(annotation_sheet, "DOWN", 2)
    (tmp_path / "contact-009.png").write_bytes(b"old")
    sheets = draw_contact_sheets(folder, tmp_path)
    assert [sheet.name for sheet in sheets] == ["contact-001.png", "contact-002.png"]
    assert sorted(tmp_path.iterdir()) == sheets
    first, second = (Image.open(sheet) for sheet in sheets)
    assert first.height > second.height > IMAGE_SIDE


@pytest.mark.parametrize("words", [1, 12, 100])
def test_long_captions_are_shortened_to_two_lines(words: int, tmp_path: Path) -> None:
    records = annotated.folder(tmp_path, 1)
    file = next(records.rglob("*.json"))
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "caption": values["caption"] + " again" * words}))
    card = draw_card(AnnotatedFolder(records), 0)
    assert card.height == IMAGE_SIDE + 6 + (1 + 2 + len(values["segments"])) * LINE_HEIGHT
