"""Contact sheets of the suite: photos, pictures, heatmaps, the real render, and what the referee said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mmdiff_core.evaluation.toybox.suite import LOWER, MODEL, UPPER, CaseOutcome, ToyboxScores
from mmdiff_core.maps.heatmap import colour_of, overlay, rgb
from mmdiff_core.output.image_grid import tile

SIDE = 160
_LINE = 13
_LINES = 6
_TITLES = {MODEL: "model", UPPER: "render", LOWER: "no photos"}


def judgement_lines(row: ToyboxScores) -> list[str]:
    """What the referee said of a picture, as the lines below it."""
    return [
        f"{_TITLES[row.kind]} {row.seed}",
        f"identity {_told(row.identity)}",
        f"present {_told([row.present])}, place {_told([row.place])}",
        f"style {_told([row.style])}",
        f"peak {_told(row.peak)}",
        f"swapped {_told(row.swapped)}" if row.count > 1 else "",
    ]


def case_strip(outcome: CaseOutcome, say: Callable[[ToyboxScores], list[str]] = judgement_lines) -> Image.Image:
    """One case: its photos, then for every picture the picture, its heatmaps and the referee's regions.

    Args:
        outcome: of the suite.
        say: up to six short lines to write below a picture.
    """
    names = outcome.case.scene.caption.names
    cells = [
        _cell(photo, [f"photo: {class_name}"])
        for class_name, own in zip(names, outcome.photos, strict=True)
        for photo in own[: 2 if len(names) == 1 else 1]
    ]
    order = sorted(outcome.shown, key=lambda shown: [MODEL, UPPER, LOWER].index(shown.row.kind))
    for shown in order:
        if shown.row.kind == LOWER and shown.row.seed != order[-1].row.seed:
            continue
        cells.append(_cell(shown.image, say(shown.row)))
        if shown.row.kind == MODEL:
            cells.append(_cell(_overlaid(shown.image, shown.heatmaps), ["heatmaps"]))
        cells.append(_cell(_outlined(shown.image, shown.regions), ["regions"]))
    title = Image.new("RGB", (sum(cell.width for cell in cells), _LINE + 6), "white")
    ImageDraw.Draw(title).text((3, 2), outcome.case.scene.caption.text, "black", _font())
    return tile([[title], cells])


def stack_strips(strips: Sequence[Path]) -> Image.Image:
    """Strips below one another."""
    return tile([[Image.open(path)] for path in strips])


def _told(answers: Sequence[bool]) -> str:
    return " ".join("yes" if answer else "no" for answer in answers) or "-"


def _cell(image: Image.Image, lines: Sequence[str]) -> Image.Image:
    cell = Image.new("RGB", (SIDE, SIDE + _LINE * _LINES), "white")
    cell.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    draw = ImageDraw.Draw(cell)
    for number, line in enumerate(lines):
        draw.text((2, SIDE + 1 + _LINE * number), line, "black", _font())
    return cell


def _overlaid(image: Image.Image, heatmaps: Sequence[np.ndarray]) -> Image.Image:
    for subject, heatmap in enumerate(heatmaps):
        image = overlay(image, heatmap, colour_of(subject))
    return image


def _outlined(image: Image.Image, regions: Tensor) -> Image.Image:
    """The referee's regions in the subjects' colours."""
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32).copy()
    for subject, region in enumerate(regions.numpy()):
        pixels[region] = 0.4 * pixels[region] + 0.6 * np.array(rgb(colour_of(subject)))
    return Image.fromarray(pixels.astype(np.uint8))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(11)
