"""What a card shows of people, and what clicks on it mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from demo.api.endpoints import _choices
from demo.form.face_choices import Choices, choose_face, chosen_for, people, weigh
from demo.form.form import Form, SubjectForm
from mmdiff_core.encoders.face import DetectedFace
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.types import FaceChoice
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Two people, nobody, one."""
    shown = {"two.png": group(RED, GREEN, sizes=(6, 10)), "none.png": group(), "one.png": group(BLUE)}
    for name, image in shown.items():
        image.save(tmp_path / name)
    return [str(tmp_path / name) for name in shown]


def test_every_photo_with_its_faces(photos: list[str]) -> None:
    shown = people(photos, {photos[2]: FaceChoice(None, 0.5)}, Squares())
    assert shown["trouble"] == ""
    assert [len(photo["faces"]) for photo in shown["photos"]] == [2, 0, 1]
    assert [photo["chosen"] for photo in shown["photos"]] == [2, 0, 1]  # the largest, none, the only one
    assert [photo["weight"] for photo in shown["photos"]] == [1.0, 1.0, 0.5]
    assert shown["photos"][0]["faces"][0] == [2 / 32, 4 / 24, 8 / 32, 10 / 24]
    assert shown["photos"][0]["src"].startswith("data:image/jpeg;base64,")


def test_a_choice_that_no_longer_fits_is_the_largest_again(photos: list[str]) -> None:
    assert people(photos[:1], {photos[0]: FaceChoice(1)}, Squares())["photos"][0]["chosen"] == 1
    assert people(photos[:1], {photos[0]: FaceChoice(7)}, Squares())["photos"][0]["chosen"] == 2


def test_a_photo_that_cannot_be_read_is_left_to_its_own_message(tmp_path: Path, photos: list[str]) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture")
    assert len(people([str(tmp_path / "torn.png"), photos[2]], {}, Squares())["photos"]) == 1


def test_what_is_not_installed_is_said() -> None:
    class Absent:
        def find(self, photo: Image.Image) -> Sequence[DetectedFace]:
            raise ModelError("run pip install")

    shown = people([group(RED)], {}, Absent())  # type: ignore[arg-type]
    assert shown == {"photos": [], "trouble": "run pip install"}


def test_clicks_and_weights() -> None:
    choices: Choices = {}
    choose_face(choices, "a.png", 1)
    weigh(choices, "a.png", 0.25)
    assert choices == {"a.png": FaceChoice(1, 0.25)}
    choose_face(choices, "a.png", 2)
    for nonsense in (0, -1, "2", None, 1.5):
        choose_face(choices, "a.png", nonsense)
    for nonsense in (-0.1, 11, "1", None, float("nan")):
        weigh(choices, "a.png", nonsense)
    assert choices == {"a.png": FaceChoice(2, 0.25)}
    assert chosen_for(["b.png", "a.png"], choices) == (FaceChoice(), FaceChoice(2, 0.25))


def test_a_form_hands_the_choices_on(photos: list[str]) -> None:
    card = SubjectForm(0, "man", (photos[0],), faces=(FaceChoice(1),))
    assert Form("a man", (card,)).request().subjects[0].choices == (FaceChoice(1),)


def test_a_program_chooses_faces_by_number() -> None:
    photos = [{}, {}]  # uploaded files; only their number counts here
    assert _choices({"name": "man", "photos": photos}) == ()
    both = {"name": "man", "photos": photos, "faces": [2, 0], "mix": [0.7, 0.3]}
    assert _choices(both) == (FaceChoice(2, 0.7), FaceChoice(None, 0.3))
    assert _choices({"name": "man", "photos": photos, "mix": [1, 2]}) == (FaceChoice(None, 1), FaceChoice(None, 2))
    with pytest.raises(SettingsError, match=r'"man" has 2 photo\(s\): give as many numbers'):
        _choices({"name": "man", "photos": photos, "faces": [1]})
