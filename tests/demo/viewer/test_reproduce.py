"""What is copied is run: it must ask for the very same picture."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

from demo.viewer.reproduce import packed_command, packed_program, photo_names, python_source, shell_command
from mmdiff_core.cli import generate
from mmdiff_core.cli.main import build_parser, main
from mmdiff_core.cli.model_flags import load_from_flags
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import Step
from mmdiff_core.types import Components, GenerateRequest, Subject
from mmdiff_core.weights.model_source import ModelSource
from tests.helpers import tiny
from tests.helpers.paths import ROOT
from tests.helpers.stand_in import StandIn

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
        word_gating=0.5,
        components=Components(refiner=False),
        scheduler="unipc",
    )


def _photo(name: str) -> Image.Image:
    with Image.open(name) as image:
        return image.convert("RGB")


def _parsed(command: str) -> argparse.Namespace:
    """By the real program's parser, from the words that a shell makes of it."""
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["python", "-m", "mmdiff_core", "generate"]
    return build_parser("generate").parse_args(words[3:])


def _settings(request: GenerateRequest) -> dict[str, Any]:
    *_, last = StandIn().generate(request)
    return dict(last.finished.settings) | {"model": "toybox", "guidance": request.guidance}


def _facts(request: GenerateRequest) -> dict[str, Any]:
    facts = {key: value for key, value in vars(request).items() if key not in ("subjects", "recording")}
    photos = [[photo.getpixel((0, 0)) for photo in subject.photos] for subject in request.subjects]
    return facts | {"photos": photos, "subjects": [(subject.name, subject.scale) for subject in request.subjects]}


def test_the_program_asks_for_the_same_picture(request_made: GenerateRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[GenerateRequest] = []

    class Remembering(StandIn):
        def generate(self, request: GenerateRequest) -> Iterator[Step]:
            asked.append(request)
            return super().generate(request)

    monkeypatch.setattr(Personalizer, "load", lambda *_: Remembering())
    exec(python_source(_settings(request_made), PHOTOS, ModelSource()), {})
    assert _facts(asked[0]) == _facts(request_made)
    assert Path("mm-diff-7.png").exists()


def test_the_program_of_an_inspected_prompt_speaks_of_no_photo(
    request_made: GenerateRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[GenerateRequest, TokenRecording]] = []

    class Inspecting:
        def inspect(self, request: GenerateRequest, tokens: TokenRecording) -> Iterator[MagicMock]:
            asked.append((request, tokens))
            yield MagicMock()

    monkeypatch.setattr(Personalizer, "load", lambda *_: Inspecting())
    alone = _settings(replace(request_made, subjects=()))
    source = python_source(alone, (), ModelSource(), tokens=TokenRecording(concepts=("snow",), per_head=True))
    assert "photo" not in source
    assert "Subject" not in source
    exec(source, {})
    ((request, tokens),) = asked
    assert (request.prompt, request.subjects) == (request_made.prompt, ())
    assert tokens == TokenRecording(concepts=("snow",), per_head=True)


@pytest.mark.parametrize("parts", [Components(), Components(vision_text=False, image_branch=False)], ids=["all", "off"])
@pytest.mark.slow
def test_the_command_of_an_inspected_prompt_makes_the_same_picture_and_maps(tmp_path: Path, parts: Components) -> None:
    folder, start = tiny.save_toybox(tmp_path / "my model"), tmp_path / "start.png"
    Image.linear_gradient("L").convert("RGB").save(start)
    personalizer = Personalizer.load(folder)
    request = GenerateRequest(
        "a cat in the (snow:1.3)", negative_prompt="dark", seeds=(7,), steps=4, start_step=1, components=parts,
        clip_skip=1, guidance_rescale=0.5, scheduler="unipc", image=_photo(str(start)), image_strength=0.8,
    )  # fmt: skip
    tokens = TokenRecording(concepts=("dog", "red hat"), per_head=True)
    *_, last = personalizer.inspect(request, tokens)
    made = last.step.finished
    command = shell_command(made.settings, (), personalizer.origin or ModelSource(), str(start), tokens)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["python", "-m", "mmdiff_core", "attention"]
    assert main([*words[3:], "--out", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out/1_seed7.png") as again:
        assert again.tobytes() == made.image.tobytes()
    last.tokens.to_npz(tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as ours, np.load(tmp_path / "out/1_seed7_maps.npz") as theirs:
        assert ours.files == theirs.files
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours.files)


def test_the_command_asks_for_the_same_picture(request_made: GenerateRequest) -> None:
    flags = _parsed(shell_command(_settings(request_made), PHOTOS, ModelSource()))
    assert _facts(generate.read_request(flags)) == _facts(request_made)


def test_a_text_that_looks_like_a_flag_stays_a_text(request_made: GenerateRequest) -> None:
    request = replace(request_made, negative_prompt="-blurred, dark")
    flags = _parsed(shell_command(_settings(request), PHOTOS, ModelSource()))
    assert flags.negative_prompt == "-blurred, dark"


def test_subjects_of_one_name_keep_their_own_strengths(request_made: GenerateRequest) -> None:
    strengths = (0.5, 1.0, 1.5)
    photos = request_made.subjects[0].photos
    request = replace(
        request_made,
        prompt="a cat, a cat and a cat",
        subjects=tuple(Subject("cat", photos, strength) for strength in strengths),
    )
    flags = _parsed(shell_command(_settings(request), (PHOTOS[0],) * 3, ModelSource()))
    assert _facts(generate.read_request(flags)) == _facts(request)


@pytest.fixture(params=["stock", "toybox", "toybox weights"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> Personalizer:
    """A stock model with weights for it, a folder that training wrote, and the latter with other weights."""
    if request.param == "stock":
        folder = tiny.save_model("sd", tmp_path / "my base")
        return Personalizer.load(folder, folder / "adapter.safetensors", dtype=torch.bfloat16)
    folder = tiny.save_toybox(tmp_path / "my model")
    adapter = folder / "adapter.safetensors" if request.param == "toybox weights" else None
    return Personalizer.load(folder, adapter, device="cpu")


def test_program_and_command_load_the_very_same_model(
    loaded: Personalizer, request_made: GenerateRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, real = _settings(request_made), Personalizer.load
    assert loaded.origin is not None
    copied = _parsed(shell_command(settings, PHOTOS, loaded.origin))
    assert load_from_flags(copied).origin == loaded.origin
    found: list[Personalizer] = []

    class Loaded(StandIn):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__()
            found.append(real(*given, **named))

    monkeypatch.setattr(Personalizer, "load", Loaded)
    exec(python_source(settings, PHOTOS, loaded.origin), {})
    assert found[0].origin == loaded.origin
    ours, theirs = (model.backbone.unet.state_dict() for model in (loaded, found[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_the_kind_of_device_and_the_precision_come_along(request_made: GenerateRequest) -> None:
    origin = ModelSource("some/base", "a.safetensors", device="cuda", dtype="float16", offload="auto", complete=False)
    flags = _parsed(shell_command(_settings(request_made), PHOTOS, origin))
    assert (flags.base, str(flags.adapter), flags.device, flags.dtype) == (
        "some/base",
        "a.safetensors",
        "cuda",
        "float16",
    )
    source = python_source(_settings(request_made), PHOTOS, origin)
    assert "device='cuda', dtype=torch.float16" in source
    assert source.count("import torch\n") == 1
    assert _parsed(shell_command(_settings(request_made), PHOTOS, ModelSource())).device == "cpu"


def test_a_page_for_others_shows_no_folder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    origin = ModelSource(str(tmp_path / "base"), str(tmp_path / "mine.safetensors"), "openai/clip", complete=False)
    shown = origin.without_folders()
    assert (shown.model, shown.adapter, shown.image_encoder) == ("base", "mine.safetensors", "openai/clip")


def test_photos_get_names_of_their_own() -> None:
    given = [["/x/image.png", "/y/image.png"], ["/z/image.webp", "/z/tin, big.p,ng", "/z/figure.png"]]
    assert photo_names(given) == (
        ("photos/1-image.png", "photos/2-image.png"),
        ("photos/3-image.webp", "photos/4-tin-big.p-ng", "photos/5-figure.png"),
    )


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
    photos = (("a.png", "b.png"), ("c.png",))
    source = python_source(settings, photos, ModelSource())
    assert "import FaceChoice, GenerateRequest, Subject" in source
    assert "choices=(FaceChoice(2, 0.7), FaceChoice(1, 0.3),))" in source
    compile(source, "copied", "exec")
    flags = _parsed(shell_command(settings, photos, ModelSource()))
    assert flags.face == ["man=2,1", "woman=1"]
    assert flags.mix == ["man=0.7,0.3"]


@pytest.mark.parametrize("name", ["reproduce.py", "reproduce.sh"])
def test_a_zip_s_program_says_that_it_needs_the_project(tmp_path: Path, name: str) -> None:
    made = packed_program("print(1 + 1)\n") if name.endswith("py") else packed_command("echo 2")
    (tmp_path / name).write_text(made, encoding="utf-8")
    command = [sys.executable if name.endswith("py") else "sh", name]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    lacking = _run(command, tmp_path, {"PATH": path})
    assert (lacking.returncode, lacking.stdout, lacking.stderr.count("\n")) == (1, "", 1)
    assert "The project MM-Diff Studio is needed" in lacking.stderr
    assert "needs the project MM-Diff Studio" in made.splitlines()[:2][-1] + made.splitlines()[0]
    found = _run(command, tmp_path, {"PATH": path, "PYTHONPATH": str(ROOT)})
    assert (found.returncode, found.stdout, found.stderr) == (0, "2\n", "")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
