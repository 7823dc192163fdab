"""The strip of a case: its photos, its images in order, and the judgements below them."""

from __future__ import annotations

import numpy as np
import pytest

from mmdiff_core.evaluation.toybox.case_sheet import SIDE, case_strip, judgement_lines, stack_strips
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER
from mmdiff_core.output.image_grid import GAP
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from tests.helpers.toybox_scores import outcome

KINDS = ((UPPER, 0), (MODEL, 0), (MODEL, 1), (LOWER, 0))


@pytest.fixture(scope="module")
def case() -> ToyboxCase:
    return draw_toybox_cases(FIRST_WORLD, {2: 1})[0]


def test_a_judgement_is_six_lines(case: ToyboxCase) -> None:
    scores = outcome(case, KINDS).images[1].scores
    lines = judgement_lines(scores)
    assert lines[:4] == ["model 0", "identity yes yes", "present yes, place no", "style yes"]
    assert lines[4:] == ["peak yes yes", "swapped -"]


def test_a_strip_has_a_cell_for_everything(case: ToyboxCase) -> None:
    """Two photos; image, heatmaps and regions of each generated image; image and regions of both bounds."""
    strip = case_strip(outcome(case, KINDS))
    assert strip.width == (2 + 3 + 3 + 2 + 2) * (SIDE + GAP)
    without_bounds = case_strip(outcome(case, KINDS[1:3]))
    assert without_bounds.width == (2 + 3 + 3) * (SIDE + GAP)


def test_the_models_images_come_first_and_show_their_heatmaps(case: ToyboxCase) -> None:
    strip = np.asarray(case_strip(outcome(case, KINDS))).astype(int)
    top = strip.shape[0] - SIDE - 86 - GAP - GAP

    def cell(number: int) -> np.ndarray:
        left = number * (SIDE + GAP)
        return strip[top + 20 : top + SIDE - 20, left + 20 : left + SIDE - 20]

    assert cell(0)[..., 0].mean() > 1.5 * cell(0)[..., 2].mean()  # an orange photo
    assert np.ptp(cell(2), axis=-1).max() < 3  # a grey image
    assert np.ptp(cell(3), axis=-1).max() > 30  # its heatmaps in colour
    assert np.ptp(cell(4)[:60], axis=-1).min() > 10  # its regions, in the upper half
    assert np.ptp(cell(4)[80:], axis=-1).max() < 3


def test_other_lines_may_stand_below(case: ToyboxCase) -> None:
    plain, marked = (
        np.asarray(case_strip(outcome(case, KINDS[1:2]), lambda scores, n=n: ["judged"] * n)) for n in (0, 6)
    )
    changed = (plain != marked).any(-1)
    rows, columns = changed.nonzero()
    assert rows.min() > plain.shape[0] - 90
    assert 2 * (SIDE + GAP) <= columns.min() <= columns.max() < 3 * (SIDE + GAP)


def test_strips_are_stacked(case: ToyboxCase, tmp_path) -> None:
    files = [tmp_path / f"{k}.png" for k in range(2)]
    for file, kinds in zip(files, (KINDS, KINDS[:2]), strict=True):
        case_strip(outcome(case, kinds)).save(file)
    sheet = stack_strips(files)
    assert sheet.width == 12 * (SIDE + GAP) + GAP
    assert sheet.height > 2 * SIDE
