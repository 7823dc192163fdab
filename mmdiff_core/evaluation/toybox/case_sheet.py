"""Contact sheets of the suite: photos, images, heatmaps, the real render, and the judgements of the referee."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER, CaseOutcome, ToyboxScores
from mmdiff_core.maps.heatmap import colour_of, overlay_subjects, rgb
from mmdiff_core.output.image_grid import captioned, image_grid, text_block

SIDE = 160
_TEXT_HEIGHT = 86  # of six lines
_TITLES = {MODEL: "model", UPPER: "render", LOWER: "no photos"}


def judgement_lines(scores: ToyboxScores) -> list[str]:
    """Put the referee's judgement of an image into lines to write below it."""
    return [
        f"{_TITLES[scores.kind]} {scores.seed}",
        f"identity {_answers(scores.identity)}",
        f"present {_answers([scores.present])}, place {_answers([scores.place])}",
        f"style {_answers([scores.style])}",
        f"peak {_answers(scores.peak)}",
        f"swapped {_answers(scores.swapped)}" if scores.count > 1 else "",
    ]


def case_strip(outcome: CaseOutcome, lines_of: Callable[[ToyboxScores], list[str]] = judgement_lines) -> Image.Image:
    """Draw one case: its photos, then every image with its heatmaps and the referee's regions.

    Args:
        outcome: of the suite.
        lines_of: returns up to six short lines to write below an image.
    """
    names = outcome.case.scene.caption.names
    per_subject = 2 if len(names) == 1 else 1
    photos = zip(names, outcome.photos, strict=True)
    cells = [_cell(photo, [f"photo: {name}"]) for name, own in photos for photo in own[:per_subject]]
    images = sorted(outcome.images, key=lambda judged: [MODEL, UPPER, LOWER].index(judged.scores.kind))
    for judged in images:
        if judged.scores.kind == LOWER and judged.scores.seed != images[-1].scores.seed:
            continue
        cells.append(_cell(judged.image, lines_of(judged.scores)))
        if judged.scores.kind == MODEL and judged.heatmaps:
            cells.append(_cell(overlay_subjects(judged.image, judged.heatmaps), ["heatmaps"]))
        cells.append(_cell(_tinted(judged.image, judged.regions), ["regions"]))
    title = text_block([outcome.case.scene.caption.text], sum(cell.width for cell in cells))
    return image_grid([[title], cells])


def stack_strips(files: Sequence[Path]) -> Image.Image:
    """Stack strips below one another."""
    return image_grid([[Image.open(file)] for file in files])


def _answers(answers: Sequence[bool]) -> str:
    return " ".join("yes" if answer else "no" for answer in answers) or "-"


def _cell(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return captioned(small, lines, _TEXT_HEIGHT)


def _tinted(image: Image.Image, regions: Tensor) -> Image.Image:
    """Tint the referee's regions in the subjects' colours."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32).copy()
    for subject, region in enumerate(regions.numpy()):
        pixels[region] = 0.4 * pixels[region] + 0.6 * np.array(rgb(colour_of(subject)))
    return Image.fromarray(pixels.astype(np.uint8))
