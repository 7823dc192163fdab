"""Annotating a folder of pictures: goes on where it stopped, and tells what it dropped and why.

OUT/
    00000/000000000.jpg, .json, .png     the annotated pictures, as ``annotations`` describes
    progress.jsonl                       a line for every picture that was looked at
    report.md                            how many were kept, how many dropped for which reason, and which
    contact-001.png ...                  what was kept, at a glance
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

from mmdiff_core.encoders.photo import FORMATS, MOST_PIXELS, load_photo
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.training.annotate.annotation_sheet import draw_contact_sheets
from mmdiff_core.training.annotate.faces import FaceFinder, add_faces
from mmdiff_core.training.annotate.rules import Annotators, Dropped, Rules, annotate_picture, name_identity
from mmdiff_core.training.annotated.folder import AnnotatedFolder
from mmdiff_core.training.annotated.format import Annotation, write_mask

logger = logging.getLogger(__name__)

PROGRESS, REPORT = "progress.jsonl", "report.md"
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
CAPTION = ".txt"
LONGEST_SIDE = 1536  # pixels; larger ones are shrunk
NAMED = 20  # dropped pictures that the report names per reason


@dataclass(frozen=True)
class AnnotationOutcome:
    """What became of a picture."""

    source: str  # its path below the folder of pictures
    image_id: str | None  # None: dropped
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class AnnotateOptions:
    """How to go about a folder."""

    pictures: Path
    out: Path
    identities: bool = False  # the pictures of a subfolder show the same somebody or something
    faces: FaceFinder | None = None


def annotate(options: AnnotateOptions, models: Annotators, rules: Rules | None = None) -> list[AnnotationOutcome]:
    """Annotate the pictures that were not looked at before; returns what became of all of them.

    A picture's caption is taken from the text file of the same name beside it, where there is one.

    Raises:
        SettingsError: there is no picture, or the output would lie among the pictures.
    """
    sources = find_pictures(options)
    options.out.mkdir(parents=True, exist_ok=True)
    outcomes = read_progress(options.out)
    number = 1 + max((int(o.image_id) for o in outcomes.values() if o.image_id), default=-1)
    left = [source for source in sources if source not in outcomes]
    with (options.out / PROGRESS).open("a", encoding="utf-8") as progress:
        for source in tqdm(left, desc="annotating", unit="picture", disable=not left):
            outcome = _annotate_one(source, f"{number:09d}", options, models, rules or Rules())
            number += outcome.image_id is not None
            outcomes[source] = outcome
            progress.write(json.dumps(vars(outcome), ensure_ascii=False) + "\n")
            progress.flush()
    done = [outcomes[source] for source in sources]
    write_annotation_report(done, options.out)
    if any(outcome.image_id for outcome in done):
        draw_contact_sheets(AnnotatedFolder(options.out), options.out)
    return done


def find_pictures(options: AnnotateOptions) -> list[str]:
    """The pictures below the folder, by their path there. Raises SettingsError as ``annotate``."""
    if not options.pictures.is_dir():
        raise SettingsError(f'There is no folder "{options.pictures}": give one that holds pictures.')
    if options.out.resolve().is_relative_to(options.pictures.resolve()):
        raise SettingsError("The annotations would lie among the pictures: give --out a folder elsewhere.")
    found = sorted(path for path in options.pictures.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise SettingsError(f'There is no picture in "{options.pictures}" ({", ".join(ENDINGS)}).')
    return [path.relative_to(options.pictures).as_posix() for path in found]


def read_progress(out: Path) -> dict[str, AnnotationOutcome]:
    """What became of the pictures so far; a line that a kill cut off does not count."""
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
    source: str, name: str, options: AnnotateOptions, models: Annotators, rules: Rules
) -> AnnotationOutcome:
    path = options.pictures / source
    try:
        picture = open_picture(path)
        annotation, ids = annotate_picture(picture, name, models, rules, _caption_of(path))
    except Dropped as dropped:
        return AnnotationOutcome(source, None, dropped.reason, dropped.detail)
    if options.identities and "/" in source:
        annotation = name_identity(annotation, ids, source.split("/")[0])
    crops: dict[int, Image.Image] = {}
    if options.faces is not None:
        annotation, crops = add_faces(annotation, ids, options.faces.find(picture))
    _write(options.out, annotation, picture, ids, crops)
    return AnnotationOutcome(source, name)


def open_picture(path: Path) -> Image.Image:
    """Upright RGB, not larger than training can use. Raises Dropped if it cannot be read."""
    try:
        load_photo(path)  # its checks and its words for what is wrong
    except PhotoError as error:
        raise Dropped("the picture cannot be read", str(error)) from error
    with Image.open(path, formats=FORMATS) as image:
        assert image.width * image.height <= MOST_PIXELS  # load_photo saw to it
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return upright


def _caption_of(path: Path) -> str | None:
    file = path.with_suffix(CAPTION)
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def _write(
    out: Path, annotation: Annotation, picture: Image.Image, ids: np.ndarray, crops: Mapping[int, Image.Image]
) -> None:
    """The annotation last, so that a kill leaves no half record that looks whole."""
    stem = out / annotation.image_id[:5] / annotation.image_id
    stem.parent.mkdir(exist_ok=True)
    picture.save(stem.with_suffix(".jpg"), quality=95)
    stem.with_suffix(".png").write_bytes(write_mask(ids))
    for number, crop in crops.items():
        crop.save(stem.with_name(f"{stem.name}.face{number}.png"))
    aside = stem.with_suffix(".tmp")
    aside.write_text(annotation.to_json(), encoding="utf-8")
    aside.replace(stem.with_suffix(".json"))


def write_annotation_report(outcomes: Sequence[AnnotationOutcome], out: Path) -> None:
    """How many were kept and dropped, why, and which."""
    (out / REPORT).write_text("\n".join(_report(outcomes)) + "\n", encoding="utf-8")


def _report(outcomes: Sequence[AnnotationOutcome]) -> Iterator[str]:
    kept = sum(outcome.image_id is not None for outcome in outcomes)
    yield f"# {kept} of {len(outcomes)} pictures were annotated\n"
    by_reason = defaultdict(list)
    for outcome in outcomes:
        if outcome.image_id is None:
            by_reason[outcome.reason].append(outcome)
    if by_reason:
        yield "| dropped because | pictures |\n|---|---|"
    reasons = sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    yield from (f"| {reason} | {len(dropped)} |" for reason, dropped in reasons)
    for reason, dropped in reasons:
        yield f"\n## {reason[0].upper()}{reason[1:]}\n"
        for outcome in dropped[:NAMED]:
            yield f"* `{outcome.source}`" + (f": {outcome.detail}" if outcome.detail else "")
        if len(dropped) > NAMED:
            yield f"* and {len(dropped) - NAMED} more: see `{PROGRESS}`"
