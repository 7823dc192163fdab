"""What clicks on faces and weights mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo.api.inputs import _choices
from demo.form.face_choices import FaceChoices, choices_for, choose_face, set_weight
from demo.form.form import Form, SubjectForm
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import FaceChoice
from tests.helpers.faces import RED, group


def test_clicks_and_weights() -> None:
    choices: FaceChoices = {}
    choose_face(choices, "a.png", 1)
    set_weight(choices, "a.png", 0.25)
    assert choices == {"a.png": FaceChoice(1, 0.25)}
    choose_face(choices, "a.png", 2)
    for nonsense in (0, -1, "2", None, 1.5):
        choose_face(choices, "a.png", nonsense)
    for nonsense in (-0.1, 11, "1", None, float("nan")):
        set_weight(choices, "a.png", nonsense)
    assert choices == {"a.png": FaceChoice(2, 0.25)}
    assert choices_for(["b.png", "a.png"], choices) == (FaceChoice(), FaceChoice(2, 0.25))


def test_a_form_hands_the_choices_on(tmp_path: Path) -> None:
    group(RED).save(tmp_path / "one.png")
    card = SubjectForm(0, "man", (str(tmp_path / "one.png"),), faces=(FaceChoice(1),))
    assert Form("a man", (card,)).request().subjects[0].choices == (FaceChoice(1),)


def test_a_program_chooses_faces_by_number() -> None:
    photos = [{}, {}]  # uploaded files; only their number counts here
    assert _choices({"name": "man", "photos": photos}) == ()
    both = {"name": "man", "photos": photos, "faces": [2, 0], "mix": [0.7, 0.3]}
    assert _choices(both) == (FaceChoice(2, 0.7), FaceChoice(None, 0.3))
    assert _choices({"name": "man", "photos": photos, "mix": [1, 2]}) == (FaceChoice(None, 1), FaceChoice(None, 2))
    with pytest.raises(SettingsError, match=r'"man" has 2 photo\(s\): give as many numbers'):
        _choices({"name": "man", "photos": photos, "faces": [1]})
