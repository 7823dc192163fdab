"""The built-in model's folder: the stock parts, an adapter, a preview and a vocabulary."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.toybox import FAST, is_toybox, load_toybox
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import Step
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny


def test_toybox_makes_pictures(toybox: Path) -> None:
    backbone, adapter = load_toybox(toybox)
    assert backbone.name == "toybox"
    assert backbone.sizes.largest == 2 * backbone.sizes.default[0]
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), steps=3)
    *_, last = Personalizer(backbone, adapter).generate(request)
    assert np.asarray(last.finished.image).std() > 0
    assert last.maps.steps == (0, 1, 2)


def test_toybox_preview_is_its_files(toybox: Path) -> None:
    backbone, _ = load_toybox(toybox)
    latents = torch.zeros(1, 4, 2, 3)
    latents[0, 0] = 1.0
    assert backbone.preview(latents).size == (3, 2)
    assert backbone.preview(latents).getpixel((0, 0)) == (178, 128, 128)


@pytest.mark.parametrize("part", ["adapter.safetensors", "preview.json", "model_index.json"])
def test_an_incomplete_toybox_names_what_is_missing(part: str, tmp_path: Path) -> None:
    for name in {"adapter.safetensors", "preview.json", "model_index.json"} - {part}:
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=f"{part} not found"):
        load_toybox(tmp_path)


def test_a_toybox_is_told_by_its_files(toybox: Path, sd: Path) -> None:
    assert is_toybox(toybox)
    assert not is_toybox(sd)
    assert not is_toybox(toybox / "unet")


def test_it_knows_its_world_and_a_preset_for_few_steps(toybox: Path) -> None:
    backbone, adapter = load_toybox(toybox)
    assert backbone.vocabulary == FIRST_WORLD
    assert backbone.fast is FAST
    assert FAST.steps < backbone.defaults.steps
    assert {x.dtype for x in (*backbone.unet.parameters(), *adapter.parameters())} == {torch.float32}


def test_another_adapter_in_place_of_its_own(toybox: Path, sd: Path) -> None:
    own, other = load_toybox(toybox)[1], load_toybox(toybox, adapter=sd / "adapter.safetensors")[1]
    assert own.config == other.config


@pytest.mark.parametrize("text", ["{", "{}", '{"matrix": 3, "bias": null}'])
def test_a_damaged_preview_is_named(text: str, toybox: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(toybox, tmp_path / "model"))
    (damaged / "preview.json").write_text(text)
    with pytest.raises(ModelError, match=r"preview.json\" is damaged"):
        load_toybox(damaged)


# ---------------------------------------------------------------- the student for few steps


@pytest.fixture(scope="module")
def with_student(toybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.add_student(Path(shutil.copytree(toybox, tmp_path_factory.mktemp("student") / "model")))


def test_a_student_is_the_preset_for_few_steps_and_the_model_stays_as_it_is(toybox: Path, with_student: Path) -> None:
    plain, backbone = load_toybox(toybox)[0], load_toybox(with_student)[0]
    assert plain.student is None
    assert "distilled" not in plain.schedulers
    assert backbone.fast == Defaults(steps=2, guidance=1.0, few=True, scheduler="distilled")
    assert backbone.schedulers == (*plain.schedulers, "distilled")
    assert backbone.student is not None
    before, after, own = (dict(x.unet.named_parameters()) for x in (plain, backbone, backbone.student))
    assert before.keys() == after.keys() == own.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not torch.equal(own["mid_block.resnets.0.conv1.weight"], before["mid_block.resnets.0.conv1.weight"])


def test_a_students_image_is_made_in_its_steps_without_guidance_and_its_settings_make_it_again(
    with_student: Path,
) -> None:
    """Asked for ten steps it makes its two; the delay keeps its place. The model's own images stay as they were."""
    personalizer = Personalizer(*load_toybox(with_student))
    request = GenerateRequest("a cat and a robot", tiny.cat_and_robot(), seeds=(4,))
    *_, usual = personalizer.generate(request)
    asked = replace(request, scheduler="distilled", steps=10, guidance=5.0, start_step=5)
    *_, made = personalizer.generate(asked)
    settings = made.finished.settings
    wanted = {"steps": 2, "guidance": 1.0, "start_step": 1, "sampler": "distilled"}
    assert {name: settings[name] for name in wanted} == wanted
    assert made.maps.steps == (0, 1)
    again = replace(request, scheduler="distilled", steps=2, guidance=1.0, start_step=1)
    assert pixels(list(personalizer.generate(again))[-1]) == pixels(made) != pixels(usual)
    assert pixels(list(personalizer.generate(request))[-1]) == pixels(usual)
    few = personalizer.in_few_steps(request)
    assert (few.steps, few.guidance, few.scheduler) == (2, 1.0, "distilled")
    assert (personalizer.in_few_steps(replace(request, steps=1)).steps, few.seeds) == (1, (4,))


def pixels(step: Step) -> bytes:
    assert step.finished is not None
    return step.finished.image.tobytes()


def test_a_students_subjects_count_and_can_be_inspected(with_student: Path) -> None:
    personalizer = Personalizer(*load_toybox(with_student))
    cat, robot = tiny.cat_and_robot()
    request = GenerateRequest("a cat and a robot", (cat, robot), scheduler="distilled")
    *_, both = personalizer.generate(request)
    *_, weaker = personalizer.generate(replace(request, subjects=(replace(cat, scale=0.2), robot)))
    assert pixels(both) != pixels(weaker)
    *_, seen = personalizer.inspect(request)
    assert pixels(seen.step) == pixels(both)


def test_a_student_moves_with_its_model_and_stays_behind_a_stock_pipeline(with_student: Path) -> None:
    backbone, adapter = load_toybox(with_student)
    moved = backbone.moved_to("meta")
    assert moved.student is not None
    assert {x.device.type for x in moved.student.unet.parameters()} == {"meta"}
    backbone, adapter = load_toybox(with_student)
    pipe = StableDiffusionPipeline.from_pretrained(with_student)
    with (
        Personalizer(backbone, adapter).attach(pipe) as attached,
        pytest.raises(SettingsError, match="has no student for few steps"),
    ):
        attached.condition(GenerateRequest("a cat", scheduler="distilled"))


def test_a_model_without_a_student_says_how_to_get_one(toybox: Path) -> None:
    with pytest.raises(SettingsError, match="no student for few steps: choose another scheduler, or train one with"):
        Personalizer(*load_toybox(toybox)).plan(GenerateRequest("a cat", scheduler="distilled"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("student.json", b"{"),
        ("student.json", b'{"steps": null}'),
        ("student.json", None),
        ("pytorch_lora_weights.safetensors", b"half"),
        ("pytorch_lora_weights.safetensors", None),
    ],
)
def test_a_damaged_student_is_named(file: str, content: bytes | None, with_student: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(with_student, tmp_path / "model"))
    (damaged / "few_steps" / file).unlink()
    if content is not None:
        (damaged / "few_steps" / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"student for few steps in .* is damaged"):
        load_toybox(damaged)
