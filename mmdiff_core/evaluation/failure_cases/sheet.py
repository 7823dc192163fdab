"""Generates the failure cases with a model, has the referee judge them, and draws all in one PNG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from tqdm import tqdm

from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.failure_cases.cases import FailureCase, draw_failure_cases
from mmdiff_core.evaluation.toybox.case_sheet import case_strip, judgement_lines
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_judge import (
    MODEL,
    CaseOutcome,
    JudgedImage,
    ToyboxScores,
    pixels_of,
    subject_heatmaps,
)
from mmdiff_core.output.image_grid import Line, image_grid, text_block, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import run_referee
from mmdiff_core.referee.network import FILE, Referee, load_referee
from mmdiff_core.results import GeneratedImage

_TITLE_SIZE = 15


@dataclass(frozen=True)
class FailureCaseOptions:
    """What to draw."""

    path: Path  # of the PNG
    model: Path = FOLDER
    referee: Path = FILE
    images: int = 2  # of each case, seeds counted up from 0
    device: str = "cpu"


def write_failure_sheet(options: FailureCaseOptions) -> Path:
    """Generate every failure case and write the sheet.

    Raises:
        SettingsError: the number of images is less than 1.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    if options.images < 1:
        raise SettingsError(f"The number of images is {options.images}; choose 1 or more.")
    backbone, adapter = load_toybox(options.model, options.device)
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(backbone.vocabulary)
    suite = ToyboxSuite(Personalizer(backbone, adapter), referee, range(options.images))
    failures = list(draw_failure_cases(backbone.vocabulary, suite.size))
    rows = [_row(failure, suite) for failure in tqdm(failures, desc="failure cases", unit="case")]
    options.path.parent.mkdir(parents=True, exist_ok=True)
    image_grid([[row] for row in rows]).save(options.path)
    return options.path


def run_failure_case(failure: FailureCase, suite: ToyboxSuite) -> CaseOutcome:
    """Generate the images of a case, and judge them as far as the referee can."""
    case = failure.case
    photos = failure.photos or suite.render_photos(case)
    images = tuple(tuple(map(to_image, own)) for own in photos)
    generated = suite.generate(suite.request(case, images, failure.regions))
    if _can_judge(suite.referee, failure):
        known = suite.judge_photos(case, photos)
        return CaseOutcome(case, images, tuple(suite.judge_image(case, one, known) for one in generated))
    return CaseOutcome(case, images, tuple(_judge_surroundings(failure, one, suite) for one in generated))


def _can_judge(referee: Referee, failure: FailureCase) -> bool:
    classes = failure.case.classes
    return not failure.unjudged and len(set(classes)) == len(classes) and set(classes) <= set(referee.config.classes)


def _judge_surroundings(failure: FailureCase, generated: GeneratedImage, suite: ToyboxSuite) -> JudgedImage:
    """Judge background and style alone."""
    assert generated.maps is not None
    case, config = failure.case, suite.referee.config
    with torch.no_grad():
        output = run_referee(suite.referee, pixels_of(generated.image)[None])
    background = config.backgrounds[int(output.backgrounds[0].argmax())]
    style = config.styles[int(output.styles[0].argmax())]
    scores = ToyboxScores(
        kind=MODEL, count=case.count, number=case.number, seed=generated.seed, prompt=case.scene.caption.text,
        identity=[], swapped=[], present=False, place=background == case.scene.background,
        style=style == case.scene.style, peak=[], curves=[],
    )  # fmt: skip
    nowhere = torch.zeros(case.count, *generated.image.size[::-1], dtype=torch.bool)
    return JudgedImage(scores, generated.image, subject_heatmaps(generated.maps, suite.map_kind), nowhere)


def _row(failure: FailureCase, suite: ToyboxSuite) -> Image.Image:
    """Draw title, notes and images of a case."""
    outcome = run_failure_case(failure, suite)
    strip = case_strip(outcome, judgement_lines if outcome.images[0].scores.identity else _surroundings_lines)
    notes = [Line(text, "#333333") for text in (failure.note, *_remarks(failure, outcome))]
    heading = text_block([Line(failure.title, size=_TITLE_SIZE), *notes], strip.width, background="#eef1f6")
    return image_grid([[heading], [strip]])


def _surroundings_lines(scores: ToyboxScores) -> list[str]:
    """Put into lines what is known of an image whose subjects are not judged."""
    place, style = ("yes" if right else "no" for right in (scores.place, scores.style))
    return [f"model {scores.seed}", "subjects not judged", f"place {place}, style {style}"]


def _remarks(failure: FailureCase, outcome: CaseOutcome) -> Iterator[str]:
    if failure.unjudged:
        yield f"Subjects not judged: {failure.unjudged}."
    similarities = [judged.scores.likeness for judged in outcome.images if judged.scores.likeness]
    if similarities:
        numbers = "; ".join(" ".join(f"{x:.2f}" for x in own) for own in similarities)
        yield f"Similarity to the photos (cosine of each subject, image by image; 0: not found): {numbers}"
