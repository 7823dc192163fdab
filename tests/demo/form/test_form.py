from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from demo.form.form import Form, Settings, SubjectForm
from mmdiff_core.errors import MMDiffError, PhotoError, PromptError, SettingsError
from mmdiff_core.types import MAX_SEED, Components


def test_a_form_becomes_a_request_with_one_seed_per_picture(photo: str) -> None:
    subject = SubjectForm(slot=2, name="cat", photos=(photo, photo), strength=0.5)
    settings = Settings(seed=7.0, pictures=3, steps=20.0, guidance=2.5, negative_prompt="dark")
    request = Form("a cat", (subject,), settings).request()

    assert request.seeds == (7, 8, 9)
    assert (request.steps, request.guidance, request.negative_prompt) == (20, 2.5, "dark")
    assert request.start_step is None
    (given,) = request.subjects
    assert (given.name, given.scale) == ("cat", 0.5)
    assert [image.size for image in given.photos] == [(64, 48)] * 2


def test_every_setting_comes_back_from_a_request(photo: str) -> None:
    settings = Settings(
        7, 2, 20, 2.5, 3, 192, 128, "dark", Components(refiner=False), "unipc", 0.4, 1, 0.3, balance_photos=True
    )  # fmt: skip
    assert all(getattr(settings, each.name) != each.default for each in fields(Settings))
    assert Settings.of(Form("a cat", (SubjectForm(0, "cat", (photo,)),), settings).request()) == settings


def test_seeds_begin_anew_after_the_largest(photo: str) -> None:
    form = Form("a cat", (SubjectForm(0, "cat", (photo,)),), Settings(seed=MAX_SEED, pictures=2))
    assert form.request().seeds == (MAX_SEED, 0)


@pytest.mark.parametrize(
    ("prompt", "subject", "settings", "error", "says"),
    [
        ("", SubjectForm(0, "cat", ("x",)), Settings(), PromptError, "prompt is empty"),
        ("a cat", None, Settings(), PhotoError, "no subject yet"),
        ("a cat", SubjectForm(1, "", ("x",)), Settings(), PromptError, "Subject 2 has photos but no name"),
        ("a cat", SubjectForm(1, "cat", ()), Settings(), PhotoError, 'Subject 2, "cat", has no photo'),
        ("a cat", SubjectForm(0, "cat", ("x",)), Settings(seed=None), SettingsError, "seed must be a whole number"),
        ("a cat", SubjectForm(0, "cat", ("x",)), Settings(seed=-1), SettingsError, "from 0"),
        ("a cat", SubjectForm(0, "cat", ("x",)), Settings(seed=1.5), SettingsError, "not 1.5"),
        ("a cat", SubjectForm(0, "cat", ("x",)), Settings(pictures=5), SettingsError, "from 1 to 4"),
    ],
)
def test_what_is_missing_is_said(
    prompt: str, subject: SubjectForm | None, settings: Settings, error: type[MMDiffError], says: str
) -> None:
    with pytest.raises(error, match=says):
        Form(prompt, (subject,) if subject else (), settings).request()


def test_a_bad_photo_is_named_with_its_subject(tmp_path: Path) -> None:
    broken = tmp_path / "torn.png"
    broken.write_bytes(b"\x89PNG torn")
    with pytest.raises(PhotoError, match=r"torn\.png \(cat\)"):
        Form("a cat", (SubjectForm(0, "cat", (str(broken),)),)).request()
