"""Which face of a photo is meant, and how much the photo counts, for adapters that read faces."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from mmdiff_core.encoders.face import MAX_FACE_WEIGHT
from mmdiff_core.types import FaceChoice

FaceChoices = dict[str, FaceChoice]  # by the photo's path; a photo without one has its largest face, of weight 1


def choice_of(choices: FaceChoices, photo: str | Image.Image) -> FaceChoice:
    """Return the choice for a photo; photos that are no files have none of their own."""
    return choices.get(photo, FaceChoice()) if isinstance(photo, str) else FaceChoice()


def choices_for(photos: Sequence[str], choices: FaceChoices) -> tuple[FaceChoice, ...]:
    """Return the choices in the order of the photos."""
    return tuple(choice_of(choices, photo) for photo in photos)


def choose_face(choices: FaceChoices, photo: str, face: object) -> None:
    """Choose a face of a photo; anything but a number from 1 on changes nothing.

    The choices are changed in place: a session's clicks may be answered side by side.
    """
    if isinstance(face, int) and face >= 1:
        choices[photo] = FaceChoice(face, choice_of(choices, photo).weight)


def set_weight(choices: FaceChoices, photo: str, weight: object) -> None:
    """Set the weight of a photo, in place; anything but a number in range changes nothing."""
    if isinstance(weight, int | float) and 0 <= weight <= MAX_FACE_WEIGHT:
        choices[photo] = FaceChoice(choice_of(choices, photo).face, float(weight))
