"""Sample sheets: a column per example, and as many subjects as the text encoder can read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmdiff_core.training.annotated.training_examples import TrainingExample
from mmdiff_core.training.stable_diffusion import sample_sheet
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stable_diffusion.sample_sheet import draw_sheet
from mmdiff_core.types import Word


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
