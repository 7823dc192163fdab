"""Whose face is meant, for adapters that read faces: what the card shows of each photo, and what the clicks say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from demo.form.photos import Photos
from demo.web.cached_files import data_url
from mmdiff_core.encoders.face import MOST_WEIGHT, DetectedFace, FaceAnalyser
from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.errors import ModelError, PhotoError
from mmdiff_core.types import FaceChoice

SHOWN = 220  # pixels a side of a photo whose faces are clicked
Choices = dict[str, FaceChoice]  # by the photo's path; a photo that is not in it has its largest face, of weight 1


def people(photos: Photos, choices: Choices, analyser: FaceAnalyser) -> dict[str, Any]:
    """Each photo with its faces, for the page: {"photos": [...], "trouble": a sentence or empty}.

    A photo is {"src", "faces": [[left, top, right, bottom], ...] in fractions, "chosen": from 1, 0 without a face,
    "weight"}.
    """
    try:
        shown = [_shown(photo, _choice(choices, photo), analyser) for photo in photos]
    except ModelError as error:
        return {"photos": [], "trouble": str(error)}
    return {"photos": [photo for photo in shown if photo is not None], "trouble": ""}


def _shown(photo: str | Image.Image, choice: FaceChoice, analyser: FaceAnalyser) -> dict[str, Any] | None:
    try:
        image = load_photo(photo)
    except PhotoError:
        return None  # named where it was dropped
    found = analyser.find(image)
    image.thumbnail((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    return {
        "src": data_url(image),
        "faces": [[face.box.left, face.box.top, face.box.right, face.box.bottom] for face in found],
        "chosen": _chosen(found, choice.face),
        "weight": choice.weight,
    }


def _chosen(found: Sequence[DetectedFace], wanted: int | None) -> int:
    """The number of the face that is meant; the largest where the choice no longer fits."""
    if wanted is not None and 1 <= wanted <= len(found):
        return wanted
    return 1 + max(range(len(found)), key=lambda index: found[index].area, default=-1)


def chosen_for(photos: Sequence[str], choices: Choices) -> tuple[FaceChoice, ...]:
    """The choices in the order of the photos."""
    return tuple(_choice(choices, photo) for photo in photos)


def choose_face(choices: Choices, photo: str, face: object) -> None:
    """A click on a face; what is no number from 1 changes nothing.

    The choices are changed in place: a session's clicks may be answered side by side.
    """
    if isinstance(face, int) and face >= 1:
        choices[photo] = FaceChoice(face, _choice(choices, photo).weight)


def weigh(choices: Choices, photo: str, weight: object) -> None:
    """Another weight of a photo, in place; what is no number in range changes nothing."""
    if isinstance(weight, int | float) and 0 <= weight <= MOST_WEIGHT:
        choices[photo] = FaceChoice(_choice(choices, photo).face, float(weight))


def _choice(choices: Choices, photo: str | Image.Image) -> FaceChoice:
    return choices.get(photo, FaceChoice()) if isinstance(photo, str) else FaceChoice()
