"""Sample sheets: a column per example, and as many subjects as the text encoder can read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from mmdiff_core.training.annotated.training_examples import TrainingExample
from mmdiff_core.training.stable_diffusion import sample_sheet
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stable_diffusion.sample_sheet import draw_sheet, side_by_side
from mmdiff_core.types import Word
from tests.helpers import tiny


def test_a_column_per_example(
    stage: NoisePredictionStage, example: TrainingExample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_sheet, "STEPS", 1)
    monkeypatch.setattr(sample_sheet, "EXAMPLES", 2)
    sheet = draw_sheet(stage.backbone, stage.adapter, [example] * 3)
    side = example.image.shape[-1] + 2
    assert sheet.size == (2 * side, 5 * side)  # photos, image, generated, maps of the words and of the photos
    assert sheet.convert("L").getextrema()[0] < 200


def test_subjects_too_late_in_the_caption_are_left_out(stage: NoisePredictionStage, example: TrainingExample) -> None:
    caption = "a cat " + "x " * 90 + "dog"
    late = replace(
        example, caption=caption, words=(Word(0, "cat", 2, 5), Word(1, "dog", len(caption) - 3, len(caption)))
    )
    assert [subject.name for subject in sample_sheet._subjects(stage.backbone, late)] == ["cat"]
    assert [len(subject.photos) for subject in sample_sheet._subjects(stage.backbone, example)] == [1, 2]


def test_images_share_the_space_of_one() -> None:
    red, wide = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 20), "blue")
    assert side_by_side([red], (40, 40)).getpixel((30, 30)) == (255, 0, 0)
    pair = side_by_side([red, wide], (40, 40))
    assert pair.getpixel((10, 10)) == (255, 0, 0)
    assert pair.getpixel((30, 5)) == (0, 0, 255)
    assert pair.getpixel((30, 15)) == (255, 255, 255)  # it keeps its shape
    assert side_by_side([], (40, 40)).getextrema() == ((255, 255),) * 3
    assert side_by_side([tiny.photo(k) for k in range(6)], (40, 40)).size == (40, 40)
