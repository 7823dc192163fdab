"""What is copied is run: it must ask for the very same picture."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from demo.reproduce import photo_names, python_source, shell_command
from mmdiff_core import generate
from mmdiff_core.cli import build_parser
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest, Parts, Step, Subject
from tests.demo.stand_in import StandIn

PHOTOS = (("tom's cat.png",), ("a.png", "b.png"))


@pytest.fixture
def request_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GenerateRequest:
    """With photos in the current folder, of a colour each."""
    monkeypatch.chdir(tmp_path)
    for shade, name in enumerate(name for names in PHOTOS for name in names):
        Image.new("RGB", (9, 9), (shade, 0, 0)).save(name)
    cat, robot = (tuple(map(_photo, names)) for names in PHOTOS)
    subjects = (Subject("cat", cat, 0.8), Subject("robot", robot))
    return GenerateRequest(
        'a cat and a "robot" for $5',
        subjects,
        "dark, it's blurred",
        (7,),
        4,
        2.5,
        1,
        192,
        128,
        binding=0.5,
        parts=Parts(refiner=False),
        sampler="unipc",
    )


def _photo(name: str) -> Image.Image:
    with Image.open(name) as image:
        return image.convert("RGB")


def _settings(request: GenerateRequest) -> dict[str, Any]:
    *_, last = StandIn().generate(request)
    return dict(last.picture.settings) | {"model": "toybox", "guidance": request.guidance}


def _facts(request: GenerateRequest) -> dict[str, Any]:
    facts = {key: value for key, value in vars(request).items() if key not in ("subjects", "recording")}
    photos = [[photo.getpixel((0, 0)) for photo in subject.photos] for subject in request.subjects]
    return facts | {"photos": photos, "subjects": [(subject.name, subject.strength) for subject in request.subjects]}


def test_the_program_asks_for_the_same_picture(request_made: GenerateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[GenerateRequest] = []

    class Remembering(StandIn):
        def generate(self, request: GenerateRequest) -> Iterator[Step]:
            asked.append(request)
            return super().generate(request)

    monkeypatch.setattr(Personalizer, "load", lambda *_: Remembering())
    exec(python_source(_settings(request_made), PHOTOS), {})
    assert _facts(asked[0]) == _facts(request_made)
    assert Path("mm-diff-7.png").exists()


def test_the_command_asks_for_the_same_picture(request_made: GenerateRequest) -> None:
    command = shell_command(_settings(request_made), PHOTOS)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["python", "-m", "mmdiff_core", "generate"]
    parser = argparse.ArgumentParser()
    generate.add_parser(parser.add_subparsers())
    assert _facts(generate.read_request(parser.parse_args(words[3:]))) == _facts(request_made)


def test_another_model_is_named(request_made: GenerateRequest) -> None:
    settings = _settings(request_made) | {"model": "models/sd", "parts": {}}
    assert "Personalizer.load('models/sd', 'adapter.safetensors')" in python_source(settings, PHOTOS)
    assert "--model models/sd" in shell_command(settings, PHOTOS)


def test_photos_of_one_name_are_told_apart() -> None:
    given = [("big cat", ["/x/image.png", "/y/image.png"]), ("robot", ["/z/image.webp", "/z/tin.png"])]
    assert photo_names(given) == (("big-cat-1.png", "big-cat-2.png"), ("image.webp", "tin.png"))


def test_chosen_faces_come_along() -> None:
    subjects = [
        {"name": "man", "strength": 1.0, "photos": 2, "faces": [[2, 0.7], [1, 0.3]]},
        {"name": "woman", "strength": 1.0, "photos": 1, "faces": [[1, 1.0]]},
    ]
    man = Subject("man", (Image.new("RGB", (9, 9)),))
    settings = _settings(GenerateRequest("a man and a woman", (man,), guidance=3.0)) | {
        "subjects": subjects,
        "parts": {},
    }
    source = python_source(settings, (("a.png", "b.png"), ("c.png",)))
    assert "import FaceChoice, GenerateRequest, Subject" in source
    assert "choices=(FaceChoice(2, 0.7), FaceChoice(1, 0.3),))" in source
    compile(source, "copied", "exec")
    command = shell_command(settings, (("a.png", "b.png"), ("c.png",)))
    assert command is not None
    words = shlex.split(command.replace("\\\n", " "))
    flags = build_parser("generate").parse_args(words[3:])
    assert flags.face == ["man=2,1", "woman=1"]
    assert flags.mix == ["man=0.7,0.3"]
