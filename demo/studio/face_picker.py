"""The face picker, for adapters that read faces: it shows a card's photos with their faces as buttons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import gradio as gr
from PIL import Image

from demo.form.face_choices import FaceChoices, choice_of
from demo.form.photos import Photos
from demo.server.photo_files import PhotoFiles
from demo.web.cached_files import data_url
from demo.web.static_files import scripts
from mmdiff_core.encoders.face import DetectedFace, FaceAnalyser
from mmdiff_core.errors import ModelError, PhotoError

PHOTO_SIDE = 220  # pixels


class PhotoWithFaces(TypedDict):
    """A photo as a data URL with its faces, [left, top, right, bottom] in fractions, from left to right.

    ``chosen`` is the number of the chosen face, from 1; 0 where there is none.
    """

    src: str
    faces: list[list[float]]
    chosen: int
    weight: float


class FacePickerRecord(TypedDict):
    """What the face picker shows; ``error`` is a sentence, or empty."""

    photos: list[PhotoWithFaces]
    error: str


def face_picker(record: FacePickerRecord | None, elem_id: str) -> gr.HTML:
    """Make a face picker; it is hidden where there is no record."""
    return gr.HTML(
        record,
        html_template='<div class="face-picker"></div>',
        js_on_load=scripts("studio/face_picker"),
        visible=record is not None,
        elem_id=elem_id,
        apply_default_css=False,
    )


def face_picker_record(
    photos: Photos, choices: FaceChoices, analyser: FaceAnalyser, photo_files: PhotoFiles
) -> FacePickerRecord:
    """Find the faces in photos; photos that cannot be read are left out, for the card names them elsewhere."""
    try:
        shown = [_photo_with_faces(photo, choices, analyser, photo_files) for photo in photos]
    except ModelError as error:
        return {"photos": [], "error": str(error)}
    return {"photos": [photo for photo in shown if photo is not None], "error": ""}


def _photo_with_faces(
    photo: str | Image.Image, choices: FaceChoices, analyser: FaceAnalyser, photo_files: PhotoFiles
) -> PhotoWithFaces | None:
    try:
        image = photo_files.load(photo)
    except PhotoError:
        return None
    choice, found = choice_of(choices, photo), analyser.find(image)
    image.thumbnail((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS)
    return {
        "src": data_url(image),
        "faces": [[face.box.left, face.box.top, face.box.right, face.box.bottom] for face in found],
        "chosen": _chosen(found, choice.face),
        "weight": choice.weight,
    }


def _chosen(found: Sequence[DetectedFace], wanted: int | None) -> int:
    """The number of the chosen face; of the largest where the choice no longer fits."""
    if wanted is not None and 1 <= wanted <= len(found):
        return wanted
    return 1 + max(range(len(found)), key=lambda index: found[index].area, default=-1)
