"""Annotation of a folder of images, which resumes where it stopped and reports what it dropped and why.

OUT/
    00000/000000000.jpg, .json, .png     the annotated images, in the format of ``annotated.format``
    progress.jsonl                       a line for every processed image
    report.md                            how many were annotated, and which were dropped for which reason
    contact-001.png ...                  contact sheets of the annotated images
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from mmdiff_core.encoders.photo import MAX_PIXELS, load_photo
from mmdiff_core.encoders.photo_formats import PHOTO_SUFFIXES, open_photo
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.output.markdown import markdown_table
from mmdiff_core.training.annotate.annotation_sheet import draw_contact_sheets
from mmdiff_core.training.annotate.faces import FaceFinder, add_faces
from mmdiff_core.training.annotate.rules import Annotators, Dropped, Rules, annotate_image, name_identity
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.format import Annotation, write_mask

logger = logging.getLogger(__name__)

PROGRESS, REPORT = "progress.jsonl", "report.md"
CAPTION_SUFFIX = ".txt"
MAX_SIDE = 1536  # pixels; larger images are shrunk
MAX_NAMED = 20  # dropped images per reason in the report


@dataclass(frozen=True)
class AnnotationOutcome:
    """The result for one image."""

    source: str  # its path below the folder of images
    image_id: str | None  # None: dropped
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AnnotateOptions:
    """Inputs and options of an annotation."""

    images: Path
    out: Path
    identities: bool = False  # the images of a subfolder show the same person or thing
    faces: FaceFinder | None = None


def annotate(options: AnnotateOptions, annotators: Annotators, rules: Rules | None = None) -> list[AnnotationOutcome]:
    """Annotate the images that were not processed before; return the results for all of them.

    The caption of an image is that of the text file of the same name next to it, if there is one.

    Raises:
        SettingsError: there is no image, or the output would be among the images.
    """
    sources = find_images(options)
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes = read_progress(options.out)
    number = 1 + max((int(o.image_id) for o in outcomes.values() if o.image_id), default=-1)
    left = [source for source in sources if source not in outcomes]
    with (options.out / PROGRESS).open("a", encoding="utf-8") as progress:
        for source in tqdm(left, desc="annotating", unit="image", disable=not left):
            outcome = _annotate_one(source, f"{number:09d}", options, annotators, rules or Rules())
            number += outcome.image_id is not None
            outcomes[source] = outcome
            progress.write(json.dumps(vars(outcome), ensure_ascii=False) + "\n")
            progress.flush()
    done = [outcomes[source] for source in sources]
    write_annotation_report(done, options.out)
    if any(outcome.image_id for outcome in done):
        draw_contact_sheets(AnnotatedFolder(options.out), options.out)
    return done


def find_images(options: AnnotateOptions) -> list[str]:
    """Return the paths of the images below the folder; raise SettingsError as ``annotate``."""
    if not options.images.is_dir():
        raise SettingsError(f'There is no folder "{options.images}": give one with images.')
    if options.out.resolve().is_relative_to(options.images.resolve()):
        raise SettingsError("The annotations would be among the images: give --out a folder elsewhere.")
    files = (path for path in options.images.rglob("*") if path.is_file())
    found = sorted(path for path in files if path.suffix.lower() in PHOTO_SUFFIXES)
    if not found:
        raise SettingsError(f'There is no image in "{options.images}": give a folder with JPEG, PNG or HEIC files.')
    return [path.relative_to(options.images).as_posix() for path in found]


def read_progress(out: Path) -> dict[str, AnnotationOutcome]:
    """Return the results so far; a line that a kill cut off does not count."""
    file = out / PROGRESS
    outcomes = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            outcome = AnnotationOutcome(**json.loads(line))
        except (ValueError, TypeError):
            continue
        outcomes[outcome.source] = outcome
    if file.is_file() and not file.read_text(encoding="utf-8").endswith("\n"):
        with file.open("a", encoding="utf-8") as progress:
            progress.write("\n")
    return outcomes


def _annotate_one(
    source: str, name: str, options: AnnotateOptions, annotators: Annotators, rules: Rules
) -> AnnotationOutcome:
    path = options.images / source
    try:
        image = open_image(path)
        annotation, ids = annotate_image(image, name, annotators, rules, _caption_of(path))
    except Dropped as dropped:
        return AnnotationOutcome(source, None, dropped.reason, dropped.detail)
    if options.identities and "/" in source:
        annotation = name_identity(annotation, ids, source.split("/")[0])
    crops: dict[int, Image.Image] = {}
    if options.faces is not None:
        annotation, crops = add_faces(annotation, ids, options.faces.find(image))
    _write(options.out, annotation, image, ids, crops)
    return AnnotationOutcome(source, name)


def open_image(path: Path) -> Image.Image:
    """Open an image as upright RGB, shrunk to ``MAX_SIDE``; raise Dropped if it cannot be read."""
    try:
        load_photo(path)  # for its checks and its messages
    except PhotoError as error:
        raise Dropped("the image cannot be read", str(error)) from error
    with open_photo(path) as image:
        assert image.width * image.height <= MAX_PIXELS  # load_photo saw to it
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return upright


def _caption_of(path: Path) -> str | None:
    file = path.with_suffix(CAPTION_SUFFIX)
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def _write(
    out: Path, annotation: Annotation, image: Image.Image, ids: np.ndarray, crops: Mapping[int, Image.Image]
) -> None:
    """Write a record, its annotation last, so that a kill leaves no incomplete record that looks complete."""
    stem = out / annotation.image_id[:5] / annotation.image_id
    stem.parent.mkdir(exist_ok=True)
    image.save(stem.with_suffix(".jpg"), quality=95)
    stem.with_suffix(".png").write_bytes(write_mask(ids))
    for number, crop in crops.items():
        crop.save(stem.with_name(f"{stem.name}.face{number}.png"))
    temporary = stem.with_suffix(".tmp")
    temporary.write_text(annotation.to_json(), encoding="utf-8")
    temporary.replace(stem.with_suffix(".json"))


def write_annotation_report(outcomes: Sequence[AnnotationOutcome], out: Path) -> None:
    """Write how many images were annotated, and which were dropped for which reason."""
    (out / REPORT).write_text("\n".join(_report(outcomes)) + "\n", encoding="utf-8")


def _report(outcomes: Sequence[AnnotationOutcome]) -> Iterator[str]:
    kept = sum(outcome.image_id is not None for outcome in outcomes)
    yield f"# {kept} of {len(outcomes)} images were annotated\n"
    by_reason = defaultdict(list)
    for outcome in outcomes:
        if outcome.image_id is None:
            by_reason[outcome.reason].append(outcome)
    reasons = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    if reasons:
        yield markdown_table(["dropped because", "images"], [[reason, len(dropped)] for reason, dropped in reasons])
    for reason, dropped in reasons:
        yield f"\n## {reason[0].upper()}{reason[1:]}\n"
        for outcome in dropped[:MAX_NAMED]:
            yield f"* `{outcome.source}`" + (f": {outcome.detail}" if outcome.detail else "")
        if len(dropped) > MAX_NAMED:
            yield f"* and {len(dropped) - MAX_NAMED} more: see `{PROGRESS}`"
