"""The limits drawn by a model and judged, one below the other in one PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.failure_cases.cases import FailureCase, draw_failure_cases
from mmdiff_core.evaluation.toybox.case_sheet import case_strip, judgement_lines
from mmdiff_core.evaluation.toybox.suite import (
    MODEL,
    CaseOutcome,
    JudgedImage,
    ToyboxScores,
    ToyboxSuite,
    pixels_of,
    subject_heatmaps,
)
from mmdiff_core.output.image_grid import tile, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import Judgement, judge_photos, run_referee
from mmdiff_core.referee.network import FILE, Referee, load_referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import GenerateRequest, Recording, Subject

_TITLE = 15
_NOTE = 11


@dataclass(frozen=True)
class FailureCaseOptions:
    """What to draw."""

    path: Path  # of the PNG
    model: Path = FOLDER
    referee: Path = FILE
    pictures: int = 2  # of each limit, seeds counted up from 0
    device: str = "cpu"


def write_failure_sheet(options: FailureCaseOptions) -> Path:
    """Draw every limit and write the sheet.

    Raises:
        SettingsError: the number of pictures makes no sense.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    if options.pictures < 1:
        raise SettingsError(f"The number of pictures is {options.pictures}; choose 1 or more.")
    backbone, adapter = load_toybox(options.model, options.device)
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(backbone.vocabulary)
    suite = ToyboxSuite(Personalizer(backbone, adapter), referee, range(options.pictures))
    limits = list(draw_failure_cases(backbone.vocabulary, suite.size))
    rows = [_row(limit, suite) for limit in tqdm(limits, desc="limits", unit="limit")]
    options.path.parent.mkdir(parents=True, exist_ok=True)
    tile([[row] for row in rows]).save(options.path)
    return options.path


def _row(limit: FailureCase, suite: ToyboxSuite) -> Image.Image:
    outcome = run_failure_case(limit, suite)
    drawn = case_strip(outcome, judgement_lines if outcome.shown[0].row.identity else _surroundings)
    return tile([[_heading(limit, outcome, drawn.width)], [drawn]])


def run_failure_case(limit: FailureCase, suite: ToyboxSuite) -> CaseOutcome:
    """The pictures of one limit, judged as far as the referee can."""
    photos = limit.photos or tuple(suite.render(views) for views in limit.case.views)
    images = tuple(tuple(map(to_image, own)) for own in photos)
    pictures = _made(limit, images, suite)
    if not _knows(suite.referee, limit):
        shown = tuple(_unjudged(limit, picture, suite) for picture in pictures)
        return CaseOutcome(limit.case, images, shown)
    known = [
        judge_photos(suite.referee, own, class_name) for own, class_name in zip(photos, limit.case.classes, strict=True)
    ]
    return CaseOutcome(limit.case, images, tuple(_judged(limit, picture, known, suite) for picture in pictures))


def _knows(referee: Referee, limit: FailureCase) -> bool:
    classes = limit.case.classes
    return (
        not limit.unjudged
        and len(set(classes)) == len(classes)
        and all(class_name in referee.config.classes for class_name in classes)
    )


def _made(
    limit: FailureCase, photos: Sequence[tuple[Image.Image, ...]], suite: ToyboxSuite
) -> tuple[GeneratedImage, ...]:
    caption = limit.case.scene.caption
    regions = limit.regions or (None,) * limit.case.count
    subjects = tuple(
        Subject(name, own, region=region) for name, own, region in zip(caption.names, photos, regions, strict=True)
    )
    recording = Recording((suite.stream,))
    request = GenerateRequest(caption.text, subjects, seeds=tuple(suite.seeds), recording=recording)
    *_, last = suite.personalizer.generate(request)
    assert last.result is not None  # of the last step
    return last.result


def _judged(limit: FailureCase, picture: GeneratedImage, known: Sequence[Judgement], suite: ToyboxSuite) -> JudgedImage:
    assert picture.maps is not None
    maps = subject_heatmaps(picture.maps, suite.stream)
    return suite.shown(limit.case, MODEL, picture.seed, picture.image, maps, known)


def _unjudged(limit: FailureCase, picture: GeneratedImage, suite: ToyboxSuite) -> JudgedImage:
    """Place and style alone."""
    assert picture.maps is not None
    config = suite.referee.config
    with torch.no_grad():
        seen = run_referee(suite.referee, pixels_of(picture.image)[None])
    background, style = (
        config.backgrounds[int(seen.backgrounds[0].argmax())],
        config.styles[int(seen.styles[0].argmax())],
    )
    scene = limit.case.scene
    row = ToyboxScores(
        kind=MODEL, count=limit.case.count, number=limit.case.number, seed=picture.seed, prompt=scene.caption.text,
        identity=[], swapped=[], present=False, place=background == scene.background, style=style == scene.style,
        peak=[], curves=[],
    )  # fmt: skip
    nowhere: Tensor = torch.zeros(limit.case.count, *picture.image.size[::-1], dtype=torch.bool)
    return JudgedImage(row, picture.image, subject_heatmaps(picture.maps, suite.stream), nowhere)


def _surroundings(row: ToyboxScores) -> list[str]:
    """What can be said of a picture whose subjects are not judged."""
    background, style = ("yes" if right else "no" for right in (row.place, row.style))
    return [f"model {row.seed}", "subjects not judged", f"place {background}, style {style}"]


def _heading(limit: FailureCase, outcome: CaseOutcome, width: int) -> Image.Image:
    """Title, note and what the referee could not judge."""
    lines = [limit.note, *_remarks(limit, outcome)]
    band = Image.new("RGB", (width, _TITLE + 12 + len(lines) * (_NOTE + 4)), "#eef1f6")
    draw = ImageDraw.Draw(band)
    draw.text((4, 4), limit.title, "black", ImageFont.load_default(_TITLE))
    for number, line in enumerate(lines):
        draw.text((4, _TITLE + 9 + number * (_NOTE + 4)), line, "#333333", ImageFont.load_default(_NOTE))
    return band


def _remarks(limit: FailureCase, outcome: CaseOutcome) -> Iterator[str]:
    if limit.unjudged:
        yield f"Subjects not judged: {limit.unjudged}."
    rows = [shown.row for shown in outcome.shown if shown.row.likeness]
    if rows:
        told = "; ".join(" ".join(f"{x:.2f}" for x in row.likeness) for row in rows)
        yield f"Likeness to the photos (cosine, of each subject, picture by picture; 0: not found): {told}"
