"""The whole line on tiny random models: what comes out, statelessness, delayed steps and the parts of the method."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.generation.sampling import Sample, sample
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition
from mmdiff_core.output.export import write_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage, Step
from mmdiff_core.types import Components, GenerateRequest, Recording, Subject
from tests.helpers import tiny

REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=tiny.cat_and_robot(),
    negative_prompt="snow",
    seeds=(5,),
    steps=4,
    guidance=4.0,
    start_step=1,
)
OTHER = GenerateRequest(
    prompt="a black dog in the park",
    subjects=(Subject("black dog", (tiny.photo(9),)),),
    seeds=(6,),
    steps=5,
    guidance=1.0,
    width=40,
    height=24,
)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def personalizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return tiny.personalizer(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def stock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    """The same models without an adapter."""
    return tiny.personalizer(request.param, tmp_path_factory.mktemp(request.param), with_adapter=False)


def _run(personalizer: Personalizer, request: GenerateRequest) -> list[Step]:
    return list(personalizer.generate(request))


def _pictures(personalizer: Personalizer, request: GenerateRequest) -> tuple[GeneratedImage, ...]:
    result = _run(personalizer, request)[-1].result
    assert result is not None
    return result


def _condition(personalizer: Personalizer, request: GenerateRequest) -> Condition:
    """The condition of the steps that see the photos; what recording needs is made in the step."""
    return personalizer.conditions(replace(request, recording=None)).personal


def _difference(a: GeneratedImage, b: GeneratedImage) -> int:
    """In steps of 255."""
    return int(np.abs(np.asarray(a.image, dtype=int) - np.asarray(b.image, dtype=int)).max())


def _with_other_photos(request: GenerateRequest) -> GenerateRequest:
    subjects = (replace(subject, photos=(tiny.photo(70 + i),)) for i, subject in enumerate(request.subjects))
    return replace(request, subjects=tuple(subjects))


# ---------------------------------------------------------------- what comes out


def test_steps_of_several_pictures(personalizer: Personalizer) -> None:
    steps = _run(personalizer, replace(REQUEST, seeds=(5, 8), width=40, height=24))
    assert [(s.image_index, s.step) for s in steps] == [(p, s) for p in (0, 1) for s in (1, 2, 3, 4)]
    assert {s.image_count for s in steps} == {2}
    assert [s.finished is not None for s in steps] == [False, False, False, True] * 2
    assert [s.result is not None for s in steps] == [False] * 7 + [True]
    assert all(s.preview.size == (20, 12) for s in steps)
    first, second = steps[-1].result
    assert first.image.size == (40, 24)
    assert [word.text for word in first.words] == ["cat", "robot"]
    assert (first.settings["seed"], second.settings["seed"]) == (5, 8)
    assert _difference(first, second) > 0


def test_maps_grow_with_the_steps(personalizer: Personalizer) -> None:
    steps = _run(personalizer, replace(REQUEST, width=40, height=24))
    assert [s.maps.steps for s in steps] == [(0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)]
    maps = steps[-1].maps
    assert maps.subjects == ("cat", "robot")
    assert maps.kinds == ("text", "image", "influence")
    assert set(maps.layers) == {layer.path for layer in personalizer.adapter.config.cross_attention}
    for subject in (0, "robot"):
        for kind in maps.kinds:
            assert maps.at(subject, kind).shape == (12, 20)
            assert maps.at(subject, kind).min() >= 0
            assert maps.at(subject, kind).std() > 0
    assert maps.at(0, "image", step=0).max() == 0  # the delayed step has no image term
    assert maps.at(0, "text", step=0).max() > 0


def test_only_what_is_asked_for_is_recorded(personalizer: Personalizer) -> None:
    per_head = Recording(kinds=("image",), per_head=True)
    maps = _run(personalizer, replace(REQUEST, recording=per_head))[-1].maps
    assert maps.kinds == ("image",)
    layer = next(iter(maps.layers))
    heads = [maps.at(0, "image", step=2, layer=layer, head=head) for head in (0, 1)]
    assert not np.array_equal(*heads)
    assert np.allclose(np.mean(heads, axis=0), maps.at(0, "image", step=2, layer=layer), atol=1e-3)
    assert _run(personalizer, replace(REQUEST, recording=None))[-1].maps is None


def test_the_prompts_other_words_are_recorded(personalizer: Personalizer) -> None:
    wanted = replace(REQUEST, recording=Recording(words=True))
    picture, without = _pictures(personalizer, wanted)[0], _pictures(personalizer, REQUEST)[0]
    maps = picture.maps
    assert maps.others == ("a", "next", "to", "a", "on", "the", "beach")
    assert maps.kinds == without.maps.kinds
    assert np.array_equal(np.asarray(picture.image), np.asarray(without.image))
    beach = maps.at("beach", "words", step=0)  # before the photos join, too
    assert beach.shape == maps.size
    assert beach.max() > 0
    assert not np.array_equal(maps.at(0, "words"), maps.at(3, "words"))  # each "a" is a word of its own
    with pytest.raises(KeyError):
        maps.at(7, "words")


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_words_are_recorded_without_any_subject(
    personalizer: Personalizer, stock: Personalizer, guidance: float, tmp_path: Path
) -> None:
    """With an adapter and without one; the image stays the same, bit for bit."""
    request = replace(REQUEST, subjects=(), start_step=0, guidance=guidance, recording=None)
    for model in (personalizer, stock):
        plain = _pictures(model, request)[0]
        recorded = _pictures(model, replace(request, recording=Recording(words=True)))[0]
        assert np.array_equal(np.asarray(recorded.image), np.asarray(plain.image))
        assert plain.maps is None
        assert recorded.maps.steps == (0, 1, 2, 3)
        assert recorded.maps.kinds == recorded.maps.subjects == ()
        assert recorded.maps.others == tuple(REQUEST.prompt.split())
        assert recorded.maps.at("robot", "words").std() > 0
        files = write_image(recorded, tmp_path, "plain")
        assert [file.name for file in files] == ["plain.png", "plain_maps.npz"]


@pytest.mark.parametrize("per_head", [False, True])
def test_each_photo_and_each_of_its_tokens_has_a_map(personalizer: Personalizer, per_head: bool) -> None:
    """They add up to their subject's, and the image stays the same, bit for bit."""
    plain = _pictures(personalizer, replace(REQUEST, recording=Recording(per_head=per_head)))[0]
    recording = Recording(per_head=per_head, per_photo=True)
    photos = _pictures(personalizer, replace(REQUEST, recording=recording))[0]
    tokens = _pictures(personalizer, replace(REQUEST, recording=replace(recording, per_photo=False, per_token=True)))[0]
    assert photos.maps.photos == tokens.maps.photos == ((0, 0), (0, 1), (1, 0))
    for found in (photos, tokens):
        assert np.array_equal(np.asarray(found.image), np.asarray(plain.image))
        assert found.maps.kinds == plain.maps.kinds
        for where in ({}, {"step": 2, "layer": next(iter(plain.maps.layers))}, {"step": 0}):
            both = found.maps.photo_at("cat", 0, **where) + found.maps.photo_at("cat", 1, **where)
            assert np.allclose(both, plain.maps.at("cat", "image", **where), atol=2e-3)
            assert np.allclose(found.maps.photo_at(1, 0, **where), plain.maps.at(1, "image", **where), atol=2e-3)
    each = [tokens.maps.photo_at("cat", 1, token) for token in range(4)]
    assert np.allclose(sum(each), photos.maps.photo_at("cat", 1), atol=2e-3)
    assert np.abs(each[0] - each[1]).max() > 0
    assert np.abs(photos.maps.photo_at("cat", 0) - photos.maps.photo_at("cat", 1)).max() > 1e-3
    for question, said in ((("cat", 2), "photo 2"), (("cat", 0, 1), "token 1"), (("robot", 1), "photo 1")):
        with pytest.raises(KeyError, match=said):
            photos.maps.photo_at(*question)


def test_every_picture_is_its_seeds_own(personalizer: Personalizer) -> None:
    together = _pictures(personalizer, replace(REQUEST, seeds=(5, 8)))
    alone = _pictures(personalizer, replace(REQUEST, seeds=(8,)))
    assert _difference(together[1], alone[0]) == 0


def test_every_photo_and_strength_counts(personalizer: Personalizer) -> None:
    cat, robot = REQUEST.subjects
    picture = _pictures(personalizer, REQUEST)[0]
    fewer = replace(REQUEST, subjects=(replace(cat, photos=cat.photos[:1]), robot))
    weaker = replace(REQUEST, subjects=(cat, replace(robot, scale=0.1)))
    assert _difference(picture, _pictures(personalizer, fewer)[0]) > 0
    assert _difference(picture, _pictures(personalizer, weaker)[0]) > 0


def test_no_subject_is_allowed(personalizer: Personalizer) -> None:
    picture = _pictures(personalizer, replace(REQUEST, subjects=()))[0]
    assert picture.maps is None
    assert picture.words == ()


def test_settings_make_the_picture_again(personalizer: Personalizer) -> None:
    settings = _pictures(personalizer, REQUEST)[0].settings
    assert settings["prompt"] == REQUEST.prompt
    assert settings["subjects"][1] == {"name": "robot", "strength": 0.7, "photos": 1}
    numbers = {name: settings[name] for name in ("steps", "guidance", "start_step", "width", "height")}
    assert numbers == {"steps": 4, "guidance": 4.0, "start_step": 1, "width": 32, "height": 32}


# ---------------------------------------------------------------- statelessness


def test_two_generations_in_turn_are_each_alone(personalizer: Personalizer) -> None:
    alone = [_trace(steps) for steps in (personalizer.generate(REQUEST), personalizer.generate(OTHER))]
    in_turn: list[list[bytes]] = [[], []]
    for pair in zip_longest(personalizer.generate(REQUEST), personalizer.generate(OTHER)):
        for trace, step in zip(in_turn, pair, strict=True):
            if step is not None:
                trace += _trace(iter([step]))
    assert in_turn == alone


def _trace(steps: Iterator[Step]) -> list[bytes]:
    """Everything that a generation shows, as bytes."""
    shown = []
    for step in steps:
        shown.append(step.preview.tobytes())
        shown += [values.numpy().tobytes() for record in step.maps.records for values in record.kinds.values()]
        shown += [step.finished.image.tobytes()] if step.finished else []
    return shown


def test_two_threads_at_once_are_each_alone(personalizer: Personalizer) -> None:
    requests = (REQUEST, OTHER)
    alone = [_trace(personalizer.generate(request)) for request in requests]
    with ThreadPoolExecutor(2) as threads:
        at_once = list(threads.map(lambda request: _trace(personalizer.generate(request)), requests * 3))
    assert at_once == alone * 3


def test_a_cancelled_generation_leaves_nothing_behind(personalizer: Personalizer) -> None:
    before = _trace(personalizer.generate(REQUEST))
    cancelled = personalizer.generate(OTHER)
    next(cancelled)
    cancelled.close()
    assert _trace(personalizer.generate(REQUEST)) == before


def test_latents_in_turn_are_bit_for_bit(personalizer: Personalizer) -> None:
    runs = [(_condition(personalizer, request), personalizer.plan(request)) for request in (REQUEST, OTHER)]

    def start() -> list[Iterator[Sample]]:
        return [
            sample(personalizer.backbone, condition, condition, plan.numbers, Recorder(), AttentionMaps(plan.names))
            for condition, plan in runs
        ]

    alone = [[state.latents for state in steps] for steps in start()]
    in_turn = list(zip(*start(), strict=False))
    for index, pair in enumerate(in_turn):
        assert torch.equal(pair[0].latents, alone[0][index])
        assert torch.equal(pair[1].latents, alone[1][index])


@torch.no_grad()
def test_recording_does_not_change_the_prediction(personalizer: Personalizer) -> None:
    condition, latents = _condition(personalizer, REQUEST), personalizer.backbone.noise(0, 40, 24).expand(2, -1, -1, -1)
    recorder = Recorder(Recording(per_head=True))
    recorder.begin_step()
    recorded = personalizer.backbone.predict_noise(latents, torch.tensor(500), condition, recorder)
    unrecorded = personalizer.backbone.predict_noise(latents, torch.tensor(500), condition)
    assert len(recorder.seal()) == len(personalizer.adapter.config.cross_attention)
    assert torch.allclose(recorded, unrecorded, rtol=0, atol=1e-5)


@torch.no_grad()
def test_keys_and_values_are_made_once(personalizer: Personalizer) -> None:
    """No step reads the prompt or the subjects through a layer again; the unguided half has no image term."""
    unet, calls = personalizer.backbone.unet, []
    layers = [unet.get_submodule(layer.path) for layer in personalizer.adapter.config.cross_attention]
    hooks = [
        linear.register_forward_hook(lambda *_: calls.append(1)) for attn in layers for linear in (attn.to_k, attn.to_v)
    ]
    _run(personalizer, REQUEST)
    for hook in hooks:
        hook.remove()
    assert calls == []
    conditions = personalizer.conditions(REQUEST)
    for path in (layer.path for layer in personalizer.adapter.config.cross_attention):
        layer = conditions.personal.layers[path]
        assert len(layer.text.key) == 2
        assert len(layer.image.key) == 1
        assert conditions.plain.layers[path].image is None
    bare = personalizer.conditions(replace(REQUEST, recording=None)).personal
    assert all(layer.recorded_keys is None for layer in bare.layers.values())


@torch.no_grad()
def test_what_recording_needs_is_the_same_made_before_or_in_the_step(personalizer: Personalizer) -> None:
    latents = personalizer.backbone.noise(0, 32, 32).expand(2, -1, -1, -1)
    found = []
    for recording in (Recording(), None):
        condition = personalizer.conditions(replace(REQUEST, recording=recording)).personal
        recorder = Recorder()
        recorder.begin_step()
        personalizer.backbone.predict_noise(latents, torch.tensor(500), condition, recorder)
        found.append(recorder.seal())
    for before, now in zip(*found, strict=True):
        assert all(torch.equal(before.kinds[kind], now.kinds[kind]) for kind in before.kinds)


def test_weights_and_modules_stay_as_they_were(personalizer: Personalizer) -> None:
    modules = [personalizer.backbone.unet, personalizer.backbone.text_encoders[0], personalizer.adapter]
    before = [{key: x.clone() for key, x in module.state_dict().items()} for module in modules]
    attributes = [set(vars(part)) for module in modules for part in module.modules()]
    _run(personalizer, REQUEST)
    for module, state in zip(modules, before, strict=True):
        assert all(torch.equal(module.state_dict()[key], x) for key, x in state.items())
    assert [set(vars(part)) for module in modules for part in module.modules()] == attributes


def test_without_adapter_it_is_the_stock_pipeline(stock: Personalizer) -> None:
    request = replace(REQUEST, subjects=(), width=40, height=24)
    pipe = tiny.open_stock(stock.backbone.name)
    pipe.set_progress_bar_config(disable=True)
    for negative in ("snow", ""):
        ours = _pictures(stock, replace(request, negative_prompt=negative))[0].image
        expected = pipe(
            request.prompt,
            negative_prompt=negative or None,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            width=40,
            height=24,
            latents=stock.backbone.noise(request.seeds[0], 40, 24),
        ).images[0]
        assert np.array_equal(np.asarray(ours), np.asarray(expected))


# ---------------------------------------------------------------- what sees the photos


def test_delayed_steps_do_not_see_the_photos(personalizer: Personalizer) -> None:
    request = replace(REQUEST, start_step=2)
    one, other = _run(personalizer, request), _run(personalizer, _with_other_photos(request))
    same = [np.array_equal(np.asarray(a.preview), np.asarray(b.preview)) for a, b in zip(one, other, strict=True)]
    assert same == [True, True, False, False]


def test_delay_to_the_end_is_plain_text(personalizer: Personalizer) -> None:
    never = _pictures(personalizer, replace(REQUEST, start_step=4))[0]
    plain = _pictures(personalizer, replace(REQUEST, subjects=(), start_step=0))[0]
    assert _difference(never, plain) == 0


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 1), (0.5, 1), (1.5, 2)])
def test_only_guidance_above_one_runs_the_unguided_half(personalizer: Personalizer, guidance: float, rows: int) -> None:
    batches = []
    hook = personalizer.backbone.unet.conv_in.register_forward_hook(
        lambda _, inputs, __: batches.append(len(inputs[0]))
    )
    _run(personalizer, replace(REQUEST, guidance=guidance))
    hook.remove()
    assert batches == [rows] * 4


# ---------------------------------------------------------------- parts of the method

PARTS_OFF = ("vision_text", "refiner", "image_branch", "null_token")


@pytest.mark.parametrize("part", PARTS_OFF)
def test_every_part_of_the_method_counts(personalizer: Personalizer, part: str) -> None:
    whole = _pictures(personalizer, REQUEST)[0]
    without = _pictures(personalizer, replace(REQUEST, components=Components(**{part: False})))[0]
    assert _difference(whole, without) > 0
    assert without.settings["parts"] == {name: name != part for name in PARTS_OFF}


def test_without_any_part_it_is_the_base_model(personalizer: Personalizer) -> None:
    nothing = Components(vision_text=False, refiner=False, image_branch=False, null_token=False)
    base = Personalizer(personalizer.backbone)
    expected = _pictures(base, replace(REQUEST, subjects=()))[0]
    for start_step in (0, 2):
        picture = _pictures(personalizer, replace(REQUEST, components=nothing, start_step=start_step))[0]
        assert np.array_equal(np.asarray(picture.image), np.asarray(expected.image))
        assert picture.maps is None


def test_without_a_null_token_the_image_maps_add_up_to_one(personalizer: Personalizer) -> None:
    plain = replace(REQUEST, components=Components(null_token=False))
    maps = _run(personalizer, plain)[-1].maps
    sums = maps.at("cat", "image", step=3) + maps.at("robot", "image", step=3)
    assert np.allclose(sums, 1, atol=2e-3)  # nobody else to look at
