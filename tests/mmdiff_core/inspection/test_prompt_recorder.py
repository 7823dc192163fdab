"""Our own loop, inspected: the same images, the stock pipeline's maps, and every request alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest
import torch

from mmdiff_core import record_attention
from mmdiff_core.errors import MMDiffError
from mmdiff_core.inspection.prompt_recorder import InspectedStep, looking_layer
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Components, GenerateRequest
from tests.helpers import tiny

PROMPT = "a cat next to a robot on the beach"
REQUEST = GenerateRequest(PROMPT, seeds=(5,), steps=3, guidance=4.0, negative_prompt="snow", start_step=0)
STOCK = replace(REQUEST, components=Components(vision_text=False, image_branch=False))


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return tiny.personalizer(request.param, tmp_path_factory.mktemp(request.param))


def _last(personalizer: Personalizer, request: GenerateRequest, tokens: TokenRecording) -> InspectedStep:
    return list(personalizer.inspect(request, tokens))[-1]


@pytest.mark.parametrize("request_", [STOCK, REQUEST, replace(REQUEST, subjects=tiny.cat_and_robot(), start_step=1)])
def test_the_image_is_the_same_with_and_without_its_maps(personalizer: Personalizer, request_: GenerateRequest) -> None:
    *_, plain = personalizer.generate(request_)
    for concepts in ((), ("dog", "black hat")):
        last = _last(personalizer, request_, TokenRecording(concepts=concepts))
        assert np.array_equal(np.asarray(last.step.finished.image), np.asarray(plain.finished.image))
        assert last.tokens.steps == (0, 1, 2)
        sums = last.tokens.average()[: len(last.tokens.table.tokens)].sum(0)
        assert torch.allclose(sums, torch.ones_like(sums), atol=2e-3)
        assert all(last.tokens.at(name).std() > 0 for name in ("cat", "robot", "<padding>", *concepts))
        if plain.finished.maps is not None:  # subjects' maps beside the tokens'
            assert np.array_equal(plain.finished.maps.at("cat", "image"), last.step.finished.maps.at("cat", "image"))
            assert np.allclose(last.tokens.at("robot"), last.step.finished.maps.at("robot", "text"), atol=2e-3)


def test_without_photos_the_maps_are_the_stock_pipelines(personalizer: Personalizer) -> None:
    ours = _last(personalizer, STOCK, TokenRecording(concepts=("dog",))).tokens
    pipe = tiny.stable_diffusion() if len(personalizer.backbone.tokenizers) == 1 else tiny.stable_diffusion_xl()
    pipe.set_progress_bar_config(disable=True)
    with record_attention(pipe, concepts=("dog",)) as stock:
        pipe(
            PROMPT,
            negative_prompt="snow",
            num_inference_steps=3,
            guidance_scale=4.0,
            height=32,
            width=32,
            generator=torch.Generator().manual_seed(5),
        )
    for name in ("cat", "<start>", "dog"):
        for step in range(3):
            assert np.allclose(ours.at(name, step), stock.at(name, step), atol=1e-3)


def test_image_to_image_records_the_steps_that_it_makes(personalizer: Personalizer) -> None:
    request = replace(STOCK, steps=6, image=tiny.photo(3), image_strength=0.5)
    last = _last(personalizer, request, TokenRecording(steps=(0, 2)))
    assert last.tokens.steps == (0, 2)
    assert last.tokens.steps_made == 3


def test_maps_grow_step_by_step_and_each_image_has_its_own(personalizer: Personalizer) -> None:
    steps = list(personalizer.inspect(replace(STOCK, seeds=(5, 6)), TokenRecording(words=("cat",))))
    assert [len(step.tokens.steps) for step in steps] == [1, 2, 3, 1, 2, 3]
    assert steps[0].tokens.steps_made == 3
    alone = _last(personalizer, replace(STOCK, seeds=(6,)), TokenRecording(words=("cat",)))
    assert np.array_equal(steps[-1].tokens.at("cat"), alone.tokens.at("cat"))


def test_a_layer_to_look_from_is_fine_but_not_too_fine(personalizer: Personalizer) -> None:
    layers = [looking_layer(personalizer.backbone, 32, 32, most) for most in (16 * 16, 16 * 16 - 1, 1)]
    assert layers[0].startswith("up_blocks.1.attentions.1.")
    assert layers[1] == layers[2]
    assert layers[1].startswith("up_blocks.0.attentions.1.")


def test_two_in_turn_are_each_alone(personalizer: Personalizer) -> None:
    requests = (STOCK, replace(STOCK, prompt="a dog in the snow", seeds=(7,), steps=2))
    alone = [_last(personalizer, request, TokenRecording()).tokens for request in requests]
    running = [personalizer.inspect(request) for request in requests]
    in_turn = [
        [step for step in column if step is not None][-1].tokens for column in zip(*zip_longest(*running), strict=True)
    ]
    assert np.array_equal(alone[0].at("cat"), in_turn[0].at("cat"))
    assert np.array_equal(alone[1].at("dog"), in_turn[1].at("dog"))


def test_a_long_negative_prompt_and_weights_change_no_row(personalizer: Personalizer) -> None:
    request = replace(STOCK, prompt="a (cat:1.3) on the beach", negative_prompt="snow and " * 50)
    tokens = _last(personalizer, request, TokenRecording()).tokens
    assert tokens.prompt == "a cat on the beach"
    assert [word.text for word in tokens.words] == ["a", "cat", "on", "the", "beach"]
    assert tokens.table.length == 154
    sums = tokens.average().sum(0)
    assert torch.allclose(sums, torch.ones_like(sums), atol=2e-3)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (TokenRecording(words=("dog",)), '"dog" is not in the prompt'),
        (TokenRecording(concepts=("?",)), 'concept "\\?" has no word'),
        (TokenRecording(steps=(3,)), "no step 3 to record: the call makes 3"),
        (TokenRecording(layers=("attn1",)), 'no cross-attention layer "attn1"'),
        (TokenRecording(budget=""), "cannot be read"),
    ],
)
def test_what_cannot_be_recorded_is_told_before_the_first_step(
    personalizer: Personalizer, tokens: TokenRecording, said: str
) -> None:
    with pytest.raises(MMDiffError, match=said):
        personalizer.inspect(STOCK, tokens)
