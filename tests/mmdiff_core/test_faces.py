"""An adapter that reads faces, from photos to pictures: chosen faces, several photos of one, several people in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mmdiff_core.backbones.stable_diffusion_xl import load_stable_diffusion_xl
from mmdiff_core.cli import generate
from mmdiff_core.cli.main import build_parser
from mmdiff_core.errors import PhotoError, SettingsError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import FaceChoice, GenerateRequest, Subject
from tests.helpers import tiny
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group, identity

PROMPT = "a man in the park"


@pytest.fixture(scope="module")
def personalizer(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    folder = tmp_path_factory.mktemp("faces")
    tiny.save_model("sdxl", folder, source="face", null_token=False, patches_with_cls=True)
    return Personalizer(*load_stable_diffusion_xl(folder, folder / "adapter.safetensors"), Squares())


def _latents(personalizer: Personalizer, *subjects: Subject, prompt: str = PROMPT) -> Tensor:
    conditions = personalizer.conditions(GenerateRequest(prompt, subjects, steps=2, guidance=3.0))
    *_, last = personalizer._sample(conditions, 0, None)
    return last.latents


def _apart(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


def test_faces_are_found_in_the_photos(personalizer: Personalizer) -> None:
    photo = group(RED, GREEN)
    chosen = Subject("man", (photo,), choices=(FaceChoice(2),))
    given = Subject("man", (photo,), faces=(Squares().find(photo)[1].face,))
    other = replace(chosen, choices=(FaceChoice(1),))
    assert torch.equal(_latents(personalizer, chosen), _latents(personalizer, given))
    assert _apart(_latents(personalizer, chosen), _latents(personalizer, other)) > 1e-3


def test_a_face_of_twice_the_weight_is_a_face_given_twice(personalizer: Personalizer) -> None:
    red, blue = (Squares().find(group(colour))[0].face for colour in (RED, BLUE))
    photo = group(RED)

    def of(*faces: object) -> Tensor:
        return _latents(personalizer, Subject("man", (photo,), faces=faces))  # type: ignore[arg-type]

    weighted = of(replace(red, weight=2.0), replace(blue, weight=1.0))
    assert _apart(weighted, of(red, red, blue)) < 1e-4
    assert torch.equal(of(replace(red, weight=0.5), replace(blue, weight=0.5)), of(red, blue))
    assert _apart(of(red, replace(blue, weight=0.0)), of(red)) < 1e-4
    assert _apart(weighted, of(red, blue)) > 1e-3


def test_a_weight_stays_with_its_subject(personalizer: Personalizer) -> None:
    """The faces of one subject say nothing about the weight of another's."""
    prompt = "a man and a dog in the park"
    dog = Subject("dog", (group(GREEN),))

    def mixed(*weights: float) -> Subject:
        return Subject("man", (group(RED), group(BLUE)), choices=tuple(FaceChoice(1, w) for w in weights))

    plain = _latents(personalizer, mixed(1, 1), dog, prompt=prompt)
    heavier_dog = replace(dog, choices=(FaceChoice(1, 5.0),))
    assert _apart(plain, _latents(personalizer, mixed(1, 1), heavier_dog, prompt=prompt)) < 1e-4
    assert _apart(plain, _latents(personalizer, mixed(3, 1), dog, prompt=prompt)) > 1e-3


def test_a_picture_tells_its_faces(personalizer: Personalizer) -> None:
    choices = (FaceChoice(None, 0.5), FaceChoice(2, 1.5))
    subject = Subject("man", (group(RED), group(GREEN, BLUE)), choices=choices)
    *_, last = personalizer.generate(GenerateRequest(PROMPT, (subject,), steps=1))
    assert last.finished is not None
    assert last.finished.settings["subjects"][0]["faces"] == [[1, 0.5], [2, 1.5]]  # type: ignore[index]
    assert last.finished.maps.at("man", "image").max() > 0


def test_a_photo_without_a_face_is_refused_before_any_work(personalizer: Personalizer) -> None:
    with pytest.raises(PhotoError, match='Photo 1 of "man" shows no face'):
        personalizer.generate(GenerateRequest(PROMPT, (Subject("man", (group(),)),)))


def test_other_adapters_take_no_choice(tmp_path: Path) -> None:
    plain = tiny.personalizer("sd", tmp_path)
    assert plain.faces is None
    subject = Subject("cat", (tiny.photo(1),), choices=(FaceChoice(1),))
    with pytest.raises(SettingsError, match='reads no faces: leave the choice of faces of "cat" out'):
        plain.plan(GenerateRequest("a cat", (subject,)))


def test_attached_pipelines_find_faces_too(personalizer: Personalizer) -> None:
    pipe = tiny.stable_diffusion_xl()
    with personalizer.attach(pipe) as attached:
        condition = attached.condition(GenerateRequest(PROMPT, (Subject("man", (group(RED),)),), steps=1))
        pipe(**condition.pipeline_kwargs(), output_type="latent")
    assert condition.maps.at("man", "image").max() > 0


# ---------------------------------------------------------------- flags


def _request(tmp_path: Path, *flags: str) -> GenerateRequest:
    group(RED).save(tmp_path / "a.png")
    group(GREEN, BLUE).save(tmp_path / "b.png")
    subject = f"man={tmp_path}/a.png,{tmp_path}/b.png"
    parser = build_parser("generate")
    return generate.read_request(parser.parse_args(["generate", "--prompt", PROMPT, "--subject", subject, *flags]))


def test_flags_choose_and_mix(tmp_path: Path, personalizer: Personalizer) -> None:
    request = _request(tmp_path, "--face", "man=0,2", "--mix", "man=0.7,0.3")
    assert request.subjects[0].choices == (FaceChoice(None, 0.7), FaceChoice(2, 0.3))
    faces = personalizer.plan(request).subjects[0].faces
    assert [face.embedding for face in faces] == [identity(RED), identity(BLUE)]
    assert _request(tmp_path, "--mix", "man=1,2").subjects[0].choices == (FaceChoice(None, 1.0), FaceChoice(None, 2.0))
    assert _request(tmp_path).subjects[0].choices == ()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--face", "cat=1,1"), "names no subject: there is man"),
        (("--face", "man=1"), r'"man" has 2 photo\(s\); give a number for each'),
        (("--face", "man=1,x"), "give numbers with commas"),
        (("--face", "man=1,1.5"), "must be whole numbers"),
        (("--mix", "man"), "cannot be read"),
    ],
)
def test_flags_that_make_no_sense(tmp_path: Path, flags: tuple[str, ...], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        _request(tmp_path, *flags)
