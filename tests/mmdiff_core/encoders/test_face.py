"""Faces are found, chosen and weighted; what is missing is said in words. The real library stands behind a stand-in."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.encoders.face import CROP, InsightFaces, token_weights, with_faces
from mmdiff_core.errors import ModelError, PhotoError, SettingsError
from mmdiff_core.types import Face, FaceChoice, Subject
from mmdiff_core.weights import insightface_models
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group, identity
from tests.helpers.paths import ROOT


def _man(*photos: Image.Image, choices: tuple[FaceChoice, ...] = ()) -> Subject:
    return Subject("man", photos, choices=choices)


def test_the_largest_face_is_taken_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = with_faces(_man(group(RED, GREEN, sizes=(6, 10))), Squares())
    assert [face.embedding for face in found.faces] == [identity(GREEN)]
    assert found.choices == (FaceChoice(2, 1.0),)
    assert 'Photo 1 of "man" holds 2 faces: the largest is taken, number 2 from the left.' in caplog.text


def test_faces_are_counted_from_the_left(caplog: pytest.LogCaptureFixture) -> None:
    photo = group(RED, GREEN, BLUE)
    with caplog.at_level(logging.WARNING):
        for number, colour in enumerate((RED, GREEN, BLUE), 1):
            found = with_faces(_man(photo, choices=(FaceChoice(number),)), Squares())
            assert found.faces[0].embedding == identity(colour)
            assert found.faces[0].crop.getpixel((16, 16)) == colour
    assert caplog.text == ""


def test_several_photos_give_a_face_each() -> None:
    choices = (FaceChoice(None, 0.25), FaceChoice(2, 2.0))
    found = with_faces(_man(group(RED), group(GREEN, BLUE), choices=choices), Squares())
    assert [(face.embedding, face.weight) for face in found.faces] == [(identity(RED), 0.25), (identity(BLUE), 2.0)]


def test_faces_that_are_given_stay() -> None:
    own = (Face(identity(BLUE), group(BLUE)),)
    subject = Subject("man", (group(),), faces=own)
    assert with_faces(subject, Squares()) is subject


def test_no_face_is_said_in_words() -> None:
    with pytest.raises(PhotoError, match='Photo 2 of "man" shows no face that can be found: use one in which the face'):
        with_faces(_man(group(RED), group()), Squares())


@pytest.mark.parametrize(
    ("choices", "error", "says"),
    [
        ((FaceChoice(3),), PhotoError, r'Photo 1 of "man" holds 2 faces, counted from the left, so there is no face 3'),
        ((FaceChoice(0),), PhotoError, "there is no face 0"),
        ((FaceChoice(1), FaceChoice(1)), SettingsError, r"has 1 photo\(s\), but faces were chosen for 2"),
        ((FaceChoice(1, -1.0),), SettingsError, 'weights of the faces of "man" must be from 0 to 10'),
        ((FaceChoice(1, float("nan")),), SettingsError, "must be from 0 to 10"),
        ((FaceChoice(1, 0.0),), SettingsError, "have the weight 0"),
    ],
)
def test_choices_that_cannot_be_met(choices: tuple[FaceChoice, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        with_faces(_man(group(RED, GREEN), choices=choices), Squares())


def test_weights_of_tokens() -> None:
    """Scaled to a mean of one within a subject, and none at all where they are alike."""
    face = Face(identity(RED), group(RED))
    heavy = Face(identity(RED), group(RED), weight=3.0)
    two, one = Subject("man", (), faces=(face, heavy)), Subject("woman", (), faces=(heavy,))
    assert token_weights([Subject("man", (), faces=(heavy, heavy))], 4) is None
    weights = token_weights([two, one], 2)
    assert weights is not None
    assert weights.tolist() == [[0.5, 0.5, 1.5, 1.5, 1.0, 1.0, 1.0, 1.0]]  # the last two are padding


# ---------------------------------------------------------------- the optional library


class InvalidProtobuf(Exception):
    """As onnxruntime's, which has no other base."""


class Library:
    """What we call of insightface: finds nothing at the larger size, and two faces at the smaller."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.seen: list[np.ndarray] = []
        if Path(options["name"], "broken.onnx").exists():
            raise InvalidProtobuf("Protobuf parsing failed")

    def prepare(self, ctx_id: int, det_size: tuple[int, int]) -> None:
        self.size = det_size

    def get(self, pixels: np.ndarray) -> list[SimpleNamespace]:
        self.seen.append(pixels)
        if self.size != (320, 320):
            return []
        boxes = ([20.0, 5.0, 44.0, 15.0], [-4.0, 5.0, 10.0, 15.0])
        return [
            SimpleNamespace(bbox=np.array(box), kps=np.full((5, 2), box[0]), normed_embedding=np.full(512, n + 1.0))
            for n, box in enumerate(boxes)
        ]


def _norm_crop(pixels: np.ndarray, landmark: np.ndarray, image_size: int) -> np.ndarray:
    return np.broadcast_to(pixels[0, 0], (image_size, image_size, 3))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for the installed library; a folder of models."""
    modules: dict[str, dict[str, Any]] = {
        "insightface": {},
        "insightface.app": {"FaceAnalysis": Library},
        "insightface.utils": {},
        "insightface.utils.face_align": {"norm_crop": _norm_crop},
        "onnxruntime": {},
        "onnxruntime.capi": {},
        "onnxruntime.capi.onnxruntime_pybind11_state": {"InvalidProtobuf": InvalidProtobuf},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    (tmp_path / "w600k_r50.onnx").touch()
    return tmp_path


def test_insightface_is_asked_as_it_wants_to_be(library: Path) -> None:
    analyser = InsightFaces(library)
    right, left = (20 / 40, 5 / 20, 1.0, 15 / 20), (0.0, 5 / 20, 10 / 40, 15 / 20)
    found = analyser.find(Image.new("RGB", (40, 20), (10, 20, 30)))
    assert [(f.box.left, f.box.top, f.box.right, f.box.bottom) for f in found] == [left, right]  # sorted, inside
    assert [face.face.embedding[0] for face in found] == [2.0, 1.0]
    assert found[0].face.crop.size == (CROP, CROP)
    assert found[0].face.crop.getpixel((0, 0)) == (10, 20, 30)  # its pixels are BGR, ours RGB
    assert analyser._analysis.seen[0][0, 0].tolist() == [30, 20, 10]
    assert analyser._analysis.options["providers"] == ["CPUExecutionProvider"]
    assert analyser._analysis.options["allowed_modules"] == ["detection", "recognition"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(ModelError, match=r'is not installed: run "pip install -r requirements-face.txt"'):
        InsightFaces().find(group(RED))
    assert (ROOT / "requirements-face.txt").is_file()


def test_models_that_are_missing_or_damaged(library: Path) -> None:
    (library / "w600k_r50.onnx").unlink()
    with pytest.raises(ModelError, match=r'no .onnx file in .*models --download insightface/buffalo_l" \(about 290 MB'):
        InsightFaces(library).find(group(RED))
    (library / "broken.onnx").touch()
    with pytest.raises(ModelError, match=r'a file in ".*" is damaged or was cut off. Fetch them again with'):
        InsightFaces(library).find(group(RED))


def test_download_of_the_face_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str, bool]] = []

    def download(kind: str, name: str, force: bool) -> str:
        asked.append((kind, name, force))
        if tmp_path.name not in str(insightface_models.face_folder()):
            raise OSError("no network\nmore")
        return str(tmp_path)

    monkeypatch.setattr(insightface_models.constants, "HF_HUB_OFFLINE", False)
    for name in ("insightface", "insightface.utils", "insightface.utils.storage"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModelError, match=r"pip install -r requirements-face\.txt"):
        insightface_models.download_faces()
    storage = ModuleType("insightface.utils.storage")
    vars(storage)["download"] = download
    monkeypatch.setitem(sys.modules, "insightface.utils.storage", storage)
    with pytest.raises(ModelError, match=r"cannot be downloaded: check the network. \(no network\)$"):
        insightface_models.download_faces()
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert insightface_models.download_faces() == tmp_path
    assert asked[-1] == ("models", "buffalo_l", True)
    monkeypatch.setattr(insightface_models.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        insightface_models.download_faces()
