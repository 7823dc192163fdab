"""What conditions a step: which half sees the photos, what a component leaves out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.encoders.photo_cache import PhotoCache, RequestCache
from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.generation.conditioning import Conditions, condition_request
from mmdiff_core.generation.subject_embedding import encode_photos
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Box, Components, GenerateRequest
from tests.helpers import tiny

CAT, ROBOT = tiny.cat_and_robot()
REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=(CAT, ROBOT),
    negative_prompt="snow",
    seeds=(5,),
    steps=4,
    guidance=4.0,
    start_step=1,
)
OTHER_PHOTOS = replace(
    REQUEST, subjects=(replace(CAT, photos=(tiny.photo(70),)), replace(ROBOT, photos=(tiny.photo(71),)))
)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest) -> Personalizer:
    folder: Path = request.getfixturevalue(request.param)
    return Personalizer.load(folder, folder / "adapter.safetensors")


# ---------------------------------------------------------------- guidance and delayed merging


@torch.no_grad()
def test_no_photo_enters_the_unguided_half(personalizer: Personalizer) -> None:
    one, other = personalizer.conditions(REQUEST).personal, personalizer.conditions(OTHER_PHOTOS).personal
    assert one.conditional.tolist() == [False, True]
    assert torch.equal(one.text.states[0], other.text.states[0])
    assert not torch.equal(one.text.states[1], other.text.states[1])
    latents = personalizer.backbone.noise(0, 32, 32).expand(2, -1, -1, -1)
    predictions = [personalizer.backbone.predict_noise(latents, torch.tensor(500), c) for c in (one, other)]
    assert torch.equal(predictions[0][0], predictions[1][0])
    assert not torch.allclose(predictions[0][1], predictions[1][1], atol=1e-4)


@torch.no_grad()
def test_negative_prompt_is_encoded_as_plain_text(personalizer: Personalizer) -> None:
    """The official code fuses the photo into it, at the places of the positive prompt."""
    backbone, adapter = personalizer.backbone, personalizer.adapter
    condition = personalizer.conditions(replace(REQUEST, negative_prompt=REQUEST.prompt)).personal
    deltas = [adapter.text_encoder_deltas(i) for i in range(len(backbone.text_encoders))]
    tokens = [tokenize(tokenizer, REQUEST.prompt) for tokenizer in backbone.tokenizers]
    plain = backbone.encode_text(tokens, [None] * len(tokens), deltas)
    assert torch.equal(condition.text.states[:1], plain.states)


def test_the_unconditional_half_knows_no_subject(personalizer: Personalizer) -> None:
    condition = personalizer.conditions(REQUEST).personal
    assert not condition.subjects.present[0].any()
    assert condition.subjects.present[1].any()
    assert not condition.subjects.tokens[0].any()
    assert not any(vectors[0].any() for vectors in condition.subjects.words)
    assert condition.words[0].tolist() == [-1, -1]
    assert condition.scales.tolist() == [[0, 0], [1, pytest.approx(0.7)]]
    assert all(len(layer.image.key) == 1 for layer in condition.layers.values() if layer.image is not None)


def test_regions_reach_both_halves(personalizer: Personalizer) -> None:
    boxed = replace(REQUEST, subjects=(replace(CAT, region=Box(0, 0, 0.5, 1)), ROBOT))
    regions = personalizer.conditions(boxed).personal.regions
    assert regions.shape == (2, 2, 16, 16)
    assert torch.equal(regions[0], regions[1])
    assert regions[0].mean((1, 2)).tolist() == [0.5, 1.0]


def test_delayed_steps_have_a_condition_without_subjects(personalizer: Personalizer) -> None:
    delayed = personalizer.conditions(REQUEST)
    assert delayed.plain.subjects is None
    assert not torch.equal(delayed.plain.text.states[1], delayed.personal.text.states[1])
    assert torch.equal(delayed.plain.text.states[0], delayed.personal.text.states[0])
    at_once = personalizer.conditions(replace(REQUEST, start_step=0))
    assert at_once.plain is at_once.personal


# ---------------------------------------------------------------- photos


@torch.no_grad()
@torch.no_grad()
# ---------------------------------------------------------------- components


@torch.no_grad()
def test_what_a_component_leaves_out(personalizer: Personalizer) -> None:
    features = encode_photos(personalizer.backbone.image_encoder, REQUEST.subjects)
    whole = personalizer.adapter.embed(features)
    assert personalizer.adapter.embed(features, components=Components(vision_text=False)).words == ()
    assert personalizer.adapter.embed(features, components=Components(image_branch=False)).tokens.shape[1] == 0
    unrefined = personalizer.adapter.embed(features, components=Components(refiner=False)).tokens
    assert unrefined.shape == whole.tokens.shape
    assert not torch.allclose(unrefined, whole.tokens, atol=1e-3)


def test_without_the_image_branch_no_layer_has_an_image_term(personalizer: Personalizer) -> None:
    condition = personalizer.conditions(replace(REQUEST, components=Components(image_branch=False))).personal
    assert condition.layers
    assert all(layer.image is None for layer in condition.layers.values())
    assert torch.equal(condition.text.states, personalizer.conditions(REQUEST).personal.text.states)


def test_without_word_fusion_the_photos_leave_the_text_alone(personalizer: Personalizer) -> None:
    words_off = Components(vision_text=False)
    one, other = (
        personalizer.conditions(replace(request, components=words_off)).personal for request in (REQUEST, OTHER_PHOTOS)
    )
    assert torch.equal(one.text.states, other.text.states)
    assert any(layer.image is not None for layer in one.layers.values())


def test_without_any_component_the_loras_are_off_as_well(personalizer: Personalizer) -> None:
    nothing = replace(REQUEST, components=Components(False, False, False, False))
    condition = personalizer.conditions(nothing).personal
    stock = Personalizer(personalizer.backbone).conditions(replace(REQUEST, subjects=())).personal
    assert condition.layers == {}
    assert torch.equal(condition.text.states, stock.text.states)


# ---------------------------------------------------------------- what is encoded once


def test_a_request_that_differs_in_scale_delay_or_gating_is_not_encoded_again(
    personalizer: Personalizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RequestCache()
    moved = replace(
        REQUEST, subjects=(replace(CAT, scale=0.4), ROBOT), word_gating=0.5, start_step=2, guidance=2.0, seeds=(9,)
    )
    fresh = _conditions(personalizer, moved)
    _conditions(personalizer, REQUEST, cache)
    encode, counted = type(personalizer.backbone).encode_text, []
    monkeypatch.setattr(type(personalizer.backbone), "encode_text", lambda *args: (counted.append(1), encode(*args))[1])
    again = _conditions(personalizer, moved, cache)
    assert counted == []
    for part in ("plain", "personal"):
        one, other = getattr(again, part), getattr(fresh, part)
        assert torch.equal(one.text.states, other.text.states)
        assert torch.equal(one.scales, other.scales)
        for path, layer in one.layers.items():
            assert (layer.image is None) == (other.layers[path].image is None)
            if layer.image is not None:
                assert torch.equal(layer.image.value, other.layers[path].image.value)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a robot next to a cat on the beach"},
        {"negative_prompt": "fog"},
        {"subjects": OTHER_PHOTOS.subjects},
        {"components": Components(vision_text=False)},
        {"clip_skip": 1},
        {"guidance": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_the_encoding_is_encoded_anew(personalizer: Personalizer, change: dict[str, object]) -> None:
    cache, changed = RequestCache(), replace(REQUEST, **change)
    _conditions(personalizer, REQUEST, cache)
    cached, fresh = _conditions(personalizer, changed, cache), _conditions(personalizer, changed)
    assert torch.equal(cached.personal.text.states, fresh.personal.text.states)
    assert torch.equal(cached.plain.text.states, fresh.plain.text.states)


def _conditions(personalizer: Personalizer, request: GenerateRequest, photos: PhotoCache | None = None) -> Conditions:
    backbone, adapter = personalizer.backbone, personalizer.adapter
    return condition_request(personalizer.plan(request), backbone, adapter, personalizer.weights.current(), photos)
