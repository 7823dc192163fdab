"""Faces for adapters of the face variant, such as the official release: ArcFace embeddings and aligned crops.

The embeddings come from ``insightface``, an optional extra (``requirements-face.txt``). Everything else here works with
any :class:`FaceAnalyser`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.encoders.photo import as_image
from mmdiff_core.errors import ModelError, PhotoError, SettingsError
from mmdiff_core.types import Box, Face, FaceChoice, Subject
from mmdiff_core.weights.insightface_models import FACES, FACES_SIZE, INSTALL, face_folder
from mmdiff_core.weights.integrity import download_command

logger = logging.getLogger(__name__)

CROP = 224  # pixels a side of an aligned face, as the official release cuts them
DETECTOR_SIZES = (640, 320)  # the detector's sizes; a face that fills the photo is found at the smaller one alone
MAX_FACE_WEIGHT = 10.0


@dataclass(frozen=True)
class DetectedFace:
    """A face in a photo."""

    box: Box  # in fractions of the photo
    face: Face

    @property
    def area(self) -> float:
        """Return the share of the photo that the face takes."""
        return (self.box.right - self.box.left) * (self.box.bottom - self.box.top)


class FaceAnalyser(Protocol):
    """Finds faces and tells them apart."""

    def find(self, photo: Image.Image) -> tuple[DetectedFace, ...]:
        """Return every face of an RGB photo, from left to right.

        Raises:
            ModelError: what finds them is not here; the message says how to get it.
        """


class InsightFaces:
    """The faces that ``insightface`` finds with the models of the official release; loaded at the first photo.

    Args:
        folder: of the detection and recognition models; the usual place by default.
        device: the GPU is used where onnxruntime has been built for one.
    """

    def __init__(self, folder: Path | None = None, device: str = "cpu") -> None:
        self.folder = face_folder() if folder is None else folder
        self.device = device
        self._lock = Lock()  # the detector keeps the size that it was last prepared for

    def find(self, photo: Image.Image) -> tuple[DetectedFace, ...]:
        """See :class:`FaceAnalyser`."""
        pixels = np.ascontiguousarray(np.asarray(photo.convert("RGB"))[:, :, ::-1])  # (h, w, 3) BGR
        with self._lock:
            for size in DETECTOR_SIZES:
                self._analysis.prepare(ctx_id=0, det_size=(size, size))
                if found := [self._found(raw, pixels) for raw in self._analysis.get(pixels)]:
                    return tuple(sorted(found, key=lambda each: each.box.left))
        return ()

    def _found(self, raw: Any, pixels: np.ndarray) -> DetectedFace:
        """Convert one face from insightface's description."""
        height, width = pixels.shape[:2]
        left, top, right, bottom = np.clip(raw.bbox / (width, height, width, height), 0, 1).tolist()
        crop = import_module("insightface.utils.face_align").norm_crop(pixels, landmark=raw.kps, image_size=CROP)
        embedding = tuple(float(x) for x in raw.normed_embedding)
        image = Image.fromarray(np.ascontiguousarray(crop[:, :, ::-1]))
        return DetectedFace(Box(left, top, right, bottom), Face(embedding, image))

    @cached_property
    def _analysis(self) -> Any:
        """Return the loaded models."""
        library = _insightface()
        if not any(self.folder.glob("*.onnx")):
            raise ModelError(
                f'The models that find faces are not here: there is no .onnx file in "{self.folder}". Fetch them with '
                f'"{download_command(FACES)}" ({FACES_SIZE}).'
            )
        gpu = ["CUDAExecutionProvider"] if self.device == "cuda" else []
        try:
            return library.FaceAnalysis(
                name=str(self.folder),
                allowed_modules=["detection", "recognition"],
                providers=[*gpu, "CPUExecutionProvider"],
            )
        except _loading_errors() as error:
            raise ModelError(
                f'The models that find faces cannot be opened: a file in "{self.folder}" is damaged or was cut off. '
                f'Fetch them again with "{download_command(FACES)}".'
            ) from error


def _insightface() -> ModuleType:
    """Import the optional library."""
    try:
        return import_module("insightface.app")
    except ImportError as error:
        raise ModelError(
            "This adapter reads faces, and what finds them in photos is not installed: run "
            f'"{INSTALL}", or give each subject its faces (Subject.faces in Python).'
        ) from error


def _loading_errors() -> tuple[type[Exception], ...]:
    """Return what a damaged model raises: onnxruntime's errors have no common base but Exception."""
    usual = (OSError, RuntimeError, ValueError, AssertionError)
    try:
        state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError:
        return usual
    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*usual, *own)


# ---------------------------------------------------------------- from photos to a subject's faces


def with_faces(subject: Subject, analyser: FaceAnalyser | None) -> Subject:
    """Return the subject with one face of each of its photos, and with the choices that led there.

    Several photos of one person, and photos of several people, whose looks are then mixed, are the same here: each
    face counts by the weight of its choice. Faces that the subject brings already stay as they are.

    Raises:
        PhotoError: a photo holds no face, or fewer than the choice requires.
        SettingsError: a weight is no good.
        ModelError: what finds faces is not here.
    """
    if subject.faces:
        check_face_weights(subject.name, [face.weight for face in subject.faces])
        return subject
    choices = choice_per_photo(subject)
    check_face_weights(subject.name, [choice.weight for choice in choices])
    taken = list(_choose_faces(subject, choices, InsightFaces() if analyser is None else analyser))
    faces = tuple(replace(face, weight=choice.weight) for choice, face in taken)
    return replace(subject, faces=faces, choices=tuple(choice for choice, _ in taken))


def choice_per_photo(subject: Subject) -> tuple[FaceChoice, ...]:
    """Return one choice per photo: the subject's, or the largest face if it has none.

    Raises:
        SettingsError: there are choices for some of the photos only.
    """
    if subject.choices and len(subject.choices) != len(subject.photos):
        raise SettingsError(
            f'"{subject.name}" has {len(subject.photos)} photo(s), but faces were chosen for {len(subject.choices)}: '
            "give one number for each photo, in their order."
        )
    return subject.choices or (FaceChoice(),) * len(subject.photos)


def _choose_faces(
    subject: Subject, choices: Sequence[FaceChoice], analyser: FaceAnalyser
) -> Iterator[tuple[FaceChoice, Face]]:
    for number, (photo, choice) in enumerate(zip(subject.photos, choices, strict=True), 1):
        found = analyser.find(as_image(photo))
        index = choose_face(found, choice.face, f'Photo {number} of "{subject.name}"')
        yield replace(choice, face=index + 1), found[index].face


def choose_face(found: Sequence[DetectedFace], wanted: int | None, photo: str) -> int:
    """Return the index of the chosen face.

    Args:
        found: from left to right.
        wanted: counted from 1; None for the largest.
        photo: what messages call it, at the start of a sentence.

    Raises:
        PhotoError: there is no such face.
    """
    if not found:
        raise PhotoError(
            f"{photo} shows no face that can be found: use one in which the face is large, turned to the camera and "
            "not covered."
        )
    if wanted is None:
        largest = max(range(len(found)), key=lambda index: found[index].area)
        if len(found) > 1:
            logger.warning(
                "%s holds %d faces: the largest is taken, number %d from the left.", photo, len(found), largest + 1
            )
        return largest
    if not 1 <= wanted <= len(found):
        if len(found) == 1:
            raise PhotoError(f"{photo} holds 1 face, so there is no face {wanted}.")
        raise PhotoError(f"{photo} holds {len(found)} faces, counted from the left, so there is no face {wanted}.")
    return wanted - 1


def check_face_weights(name: str, weights: Sequence[float]) -> None:
    """Check that faces can be mixed by these weights.

    Raises:
        SettingsError: one is out of range, or all are 0.
    """
    if not all(0 <= weight <= MAX_FACE_WEIGHT for weight in weights):  # also false for what is not a number
        raise SettingsError(f'The weights of the faces of "{name}" must be from 0 to {MAX_FACE_WEIGHT:g}.')
    if weights and not any(weights):
        raise SettingsError(f'All faces of "{name}" have the weight 0: give one of them more.')


def token_weights(subjects: Sequence[Subject], per_face: int) -> Tensor | None:
    """Return each token's weight in the softmax among those of its subject, (1, K); None: all alike.

    A subject's weights are scaled to a mean of 1, so that equal ones change nothing.

    Args:
        subjects: S with up to P faces each.
        per_face: N, tokens of a face.
    """
    if len({face.weight for subject in subjects for face in subject.faces}) <= 1:
        return None
    most = max(len(subject.faces) for subject in subjects)
    weights = torch.ones(len(subjects), most)
    for row, subject in zip(weights, subjects, strict=True):
        own = torch.tensor([float(face.weight) for face in subject.faces])
        row[: len(own)] = own / own.mean()
    return weights.flatten().repeat_interleave(per_face)[None]
