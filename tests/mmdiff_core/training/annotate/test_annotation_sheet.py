"""Contact sheets: a card for every record, twenty to a sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.maps.heatmap import colour_of, rgb
from mmdiff_core.training.annotate import annotation_sheet
from mmdiff_core.training.annotate.annotation_sheet import IMAGE_SIDE, LINE_HEIGHT, draw_card, draw_contact_sheets
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from tests.helpers import annotated


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> AnnotatedFolder:
    return AnnotatedFolder(annotated.folder(tmp_path_factory.mktemp("data"), 3))


def test_a_card_tints_each_segment_in_its_colour(folder: AnnotatedFolder) -> None:
    record = folder.read(0)
    card = np.asarray(draw_card(folder, 0), dtype=float)
    assert card.shape == (IMAGE_SIDE + (3 + len(record.annotation.segments)) * LINE_HEIGHT, IMAGE_SIDE, 3)
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
        assert below[row * LINE_HEIGHT : (row + 1) * LINE_HEIGHT].min() < 128


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


@pytest.mark.parametrize(
    ("caption", "lines"),
    [
        ("a cat", ["a cat"]),
        ("a " + "long " * 10 + "caption", 2),
        ("a " + "very long " * 20 + "caption", 2),
    ],
)
def test_captions_are_wrapped_in_two_lines(caption: str, lines: list[str] | int) -> None:
    wrapped = annotation_sheet._wrapped(caption)
    assert wrapped == lines or len(wrapped) == lines
    assert all(len(line) <= 42 for line in wrapped)
