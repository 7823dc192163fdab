"""What people know from other programs: schedulers by name, clip skip, guidance rescale, weights, long prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from mmdiff_core.errors import ModelError
from mmdiff_core.generation.subject_embedding import balanced
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import GenerateRequest, Recording, Subject
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny

REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=(Subject("cat", (tiny.photo(1),)), Subject("robot", (tiny.photo(3),), scale=0.7)),
    negative_prompt="snow",
    seeds=(5,),
    steps=2,
    guidance=4.0,
    width=40,
    height=24,
)
PLAIN = replace(REQUEST, subjects=())


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def personalizer(folder: Path) -> Personalizer:
    return Personalizer.load(folder, folder / "adapter.safetensors")


def _image(personalizer: Personalizer, request: GenerateRequest) -> GeneratedImage:
    *_, last = personalizer.generate(request)
    return last.finished


def _pixels(personalizer: Personalizer, request: GenerateRequest) -> np.ndarray:
    return np.asarray(_image(personalizer, request).image, dtype=int)


def _stock(folder: Path, request: GenerateRequest, pipe: DiffusionPipeline | None = None, **more: Any) -> np.ndarray:
    pipe = pipe or tiny.open_stock(str(folder))
    pipe.set_progress_bar_config(disable=True)
    numbers = {"num_inference_steps": request.steps, "guidance_scale": request.guidance, "width": 40, "height": 24}
    texts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
    return np.asarray(pipe(**texts, **numbers, generator=torch.Generator().manual_seed(5), **more).images[0], dtype=int)


@pytest.mark.parametrize(
    "more", [{"clip_skip": 1}, {"guidance_rescale": 0.6}, {"clip_skip": 1, "guidance_rescale": 1.0}]
)
def test_as_in_the_stock_pipeline(more: dict[str, Any], folder: Path, personalizer: Personalizer) -> None:
    alone = Personalizer(personalizer.backbone)
    found = _pixels(alone, replace(PLAIN, **more))
    pipe = tiny.open_stock(str(folder))
    if not hasattr(pipe, "text_encoder_2"):  # its clip skip asks for a part that CLIPTextModel no longer has
        object.__setattr__(pipe.text_encoder, "text_model", pipe.text_encoder)
    assert np.array_equal(found, _stock(folder, PLAIN, pipe, **more))
    assert not np.array_equal(found, _pixels(alone, PLAIN))
    assert _image(alone, replace(PLAIN, **more)).settings.items() >= more.items()
    assert not _image(alone, PLAIN).settings.keys() & more.keys()


@pytest.mark.parametrize(
    ("name", "stock", "options"),
    [
        ("dpm++-karras", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
        ("sde-karras", "DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}),
        ("euler-a", "EulerAncestralDiscreteScheduler", {}),
        ("heun", "HeunDiscreteScheduler", {}),
        ("lcm", "LCMScheduler", {}),
    ],
)
def test_schedulers_by_name(
    name: str, stock: str, options: dict[str, Any], folder: Path, personalizer: Personalizer
) -> None:
    request = replace(PLAIN, scheduler=name, steps=4)
    pipe = tiny.open_stock(str(folder))
    clipped = {"clip_sample": False} if "LCM" in stock else {}
    pipe.scheduler = getattr(diffusers, stock).from_config(pipe.scheduler.config, **options, **clipped)
    alone = Personalizer(personalizer.backbone)
    assert np.array_equal(_pixels(alone, request), _stock(folder, request, pipe))


def test_the_settings_reach_a_stock_pipeline(folder: Path, personalizer: Personalizer) -> None:
    request = replace(
        REQUEST,
        prompt="a (cat:1.4) next to a [robot] on the beach. " + "snow in the park, " * 20,
        clip_skip=1,
        guidance_rescale=0.7,
        balance_photos=True,
    )
    pipe = tiny.open_stock(str(folder))
    pipe.set_progress_bar_config(disable=True)
    with personalizer.attach(pipe) as attached:
        condition = attached.condition(request)
        mine = np.asarray(pipe(**condition.pipeline_kwargs()).images[0], dtype=int)
    ours = _image(personalizer, request)
    assert np.abs(mine - np.asarray(ours.image, dtype=int)).max() <= 1
    assert np.allclose(condition.maps.at("cat", "text"), ours.maps.at("cat", "text"), atol=2e-3)


def test_a_pipeline_without_guidance_rescale(tmp_path: Path) -> None:
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**tiny.stable_diffusion().components, requires_safety_checker=False)
    save_adapter(tiny.adapter_for(pipe), tmp_path / "adapter.safetensors")
    attached = Personalizer.of_pipeline(pipe, tmp_path / "adapter.safetensors").attach(pipe)
    condition = attached.condition(replace(REQUEST, guidance_rescale=0.5))
    with pytest.raises(ModelError, match="has no guidance_rescale: leave it out"):
        condition.pipeline_kwargs()


# ---------------------------------------------------------------- prompts


def test_a_weighted_word_of_a_subject(personalizer: Personalizer) -> None:
    weighted = replace(REQUEST, prompt="a (cat:1.5) next to a robot on the (beach:0.5)")
    plan = personalizer.plan(weighted)
    assert plan.prompt == REQUEST.prompt
    assert [word.text for word in plan.words] == ["cat", "robot"]
    assert np.abs(_pixels(personalizer, weighted) - _pixels(personalizer, REQUEST)).max() > 0
    for same in ("a (cat:1) next to a robot on the beach", "a (cat:1.0) next (to:1) a robot on the beach"):
        assert np.array_equal(_pixels(personalizer, replace(REQUEST, prompt=same)), _pixels(personalizer, REQUEST))
    negative = replace(REQUEST, negative_prompt="(snow:1.5)")
    assert np.abs(_pixels(personalizer, negative) - _pixels(personalizer, REQUEST)).max() > 0


def test_a_subject_beyond_the_first_text_of_a_long_prompt(personalizer: Personalizer) -> None:
    long = replace(REQUEST, prompt="the beach in the snow, " * 16 + REQUEST.prompt, recording=Recording(words=True))
    plan = personalizer.plan(long)
    assert {tokens.ids.shape[1] for tokens in (*plan.tokens, *plan.negative)} == {154}
    assert int(plan.tokens[0].words.min()) > 77
    image = _image(personalizer, long)
    assert image.maps.at("robot", "text").max() > 0
    assert len(image.maps.others) == len(plan.others) == 16 * 5 + 7
    other = replace(long, subjects=(REQUEST.subjects[0], Subject("robot", (tiny.photo(9),), scale=0.7)))
    assert np.abs(np.asarray(image.image, dtype=int) - _pixels(personalizer, other)).max() > 0
    short_with_long_negative = replace(REQUEST, negative_prompt="snow and rain, " * 30)
    assert np.isfinite(_pixels(personalizer, short_with_long_negative)).all()


def test_the_map_of_a_name_is_over_all_its_pieces(personalizer: Personalizer) -> None:
    """And the picture is the same, as the photo is fused at the last one."""
    subjects = (Subject("black cat", (tiny.photo(1),)), REQUEST.subjects[1])
    request = replace(REQUEST, prompt="a black cat next to a robot", subjects=subjects, recording=Recording(words=True))
    whole, last = (
        _image(personalizer, replace(request, subjects=(replace(subjects[0], name=name), subjects[1])))
        for name in ("black cat", "cat")
    )
    assert np.array_equal(np.asarray(whole.image), np.asarray(last.image))
    pieces = last.maps.at("black", "words") + last.maps.at("cat", "text")
    assert np.allclose(whole.maps.at("black cat", "text"), pieces, atol=2e-3)
    assert np.array_equal(whole.maps.at("robot", "text"), last.maps.at("robot", "text"))


# ---------------------------------------------------------------- photos that compete


def test_balanced_copies_of_a_photo_count_as_one(personalizer: Personalizer) -> None:
    four = replace(REQUEST, subjects=(Subject("cat", (tiny.photo(1),) * 4), REQUEST.subjects[1]))
    once = _pixels(personalizer, REQUEST)
    assert np.abs(_pixels(personalizer, four) - once).max() > 1
    assert np.abs(_pixels(personalizer, replace(four, balance_photos=True)) - once).max() <= 1
    assert np.array_equal(_pixels(personalizer, replace(REQUEST, balance_photos=True)), once)


def test_shares_multiply_with_the_weights_of_faces(personalizer: Personalizer) -> None:
    two = replace(REQUEST, subjects=(Subject("cat", (tiny.photo(1), tiny.photo(2))), REQUEST.subjects[1]))
    subjects = personalizer.conditions(replace(two, guidance=1.0)).personal.subjects
    weights = torch.linspace(0.5, 2, subjects.tokens.shape[1])[None]
    tokens = subjects.tokens.shape[1] // 4
    expected = torch.tensor([0.5] * 2 * tokens + [1.0] * 2 * tokens)[None]
    assert torch.equal(balanced(subjects, (2, 1)).weights, expected)
    assert torch.allclose(balanced(replace(subjects, weights=weights), (2, 1)).weights, weights * expected)
