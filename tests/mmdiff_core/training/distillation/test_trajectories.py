"""The teacher's trajectories: what they are of, and their files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.encoders.prompt import find_words, stack_tokens, tokenize
from mmdiff_core.generation.sampling import sample
from mmdiff_core.generation.subject_embedding import encode_pixels
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.training.distillation.trajectories import Trajectories, join_trajectories, subject_regions, trace
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers import tiny

NAMES = ("cat", "robot")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toybox, MMDiffAdapter]:
    return load_toybox(tiny.save_toybox(tmp_path_factory.mktemp("toybox")))


def traced(model: tuple[Toybox, MMDiffAdapter], prompts: list[str], photos: torch.Tensor, seed: int) -> Trajectories:
    backbone, _ = model
    assert backbone.image_encoder is not None
    features = encode_pixels(backbone.image_encoder, photos, torch.ones(photos.shape[:3], dtype=torch.bool))
    tokens = stack_tokens([tokenize(backbone.tokenizers[0], *find_words(text, NAMES)) for text in prompts])
    return trace(model, tokens, features, seed, student_steps=2, teacher_steps=6)


def test_a_trajectory_ends_in_the_image_that_generation_makes(model: tuple[Toybox, MMDiffAdapter]) -> None:
    """The second image of the batch has the second noise of the seed, whatever the first one is."""
    backbone, adapter = model
    photos = torch.rand(2, 2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    prompts = ["a cat and a robot", "a robot next to a cat"]
    found = traced(model, prompts, photos, seed=5)
    assert found.states.shape[:2] == (2, 3)
    for row, prompt in enumerate(prompts):
        personalizer = Personalizer(backbone, adapter)
        subjects = tuple(Subject(name, (photos[row, s, 0],)) for s, name in enumerate(NAMES))
        plan = personalizer.plan(GenerateRequest(prompt, subjects, steps=6))
        conditions = personalizer.conditions(plan.request)
        states = list(
            sample(backbone, conditions.plain, conditions.personal, plan.numbers, latents=found.states[row, :1].float())
        )
        for kept, state in ((1, states[2]), (2, states[5])):
            assert torch.allclose(found.states[row, kept].float(), state.latents[0], atol=5e-3)


def test_files_give_back_what_was_written(model: tuple[Toybox, MMDiffAdapter], tmp_path: Path) -> None:
    photos = torch.rand(2, 2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    made = traced(model, ["a cat and a robot", "a robot next to a cat"], photos, seed=0)
    made.write(tmp_path / "a.safetensors")
    read = Trajectories.read(tmp_path / "a.safetensors")
    both = join_trajectories([read.take([1]), read.take([0, 1])])
    for field in fields(Trajectories):
        assert torch.equal(getattr(read, field.name), getattr(made, field.name))
        assert torch.equal(getattr(both, field.name), getattr(made, field.name)[[1, 0, 1]])


def test_a_region_is_the_upper_half_of_a_map_where_no_other_is_stronger() -> None:
    first = torch.tensor([[0.0, 0.3], [0.8, 1.0]])
    second = torch.tensor([[1.0, 0.9], [0.9, 0.0]])
    present = torch.tensor([[True, True], [True, False]])
    regions = subject_regions(torch.stack([first, second]).expand(2, 2, 2, 2), present)
    assert regions[0, 0].tolist() == [[False, False], [False, True]]
    assert regions[0, 1].tolist() == [[True, True], [True, False]]
    assert regions[1, 0].tolist() == [[False, False], [True, True]]
    assert not regions[1, 1].any()
