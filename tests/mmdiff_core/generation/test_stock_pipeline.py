"""Stock pipelines of every kind, personalised by their keyword arguments alone, and left as they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import DiffusionPipeline, LCMScheduler, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict

from mmdiff_core.errors import CheckpointError, ModelError, PromptError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Components, GenerateRequest, Subject
from mmdiff_core.weights.adapter_file import save_adapter
from tests.helpers import tiny
from tests.helpers.stock_kinds import KINDS, PICTURE, open_kind, pixels, plain_call

REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=tiny.cat_and_robot(),
    negative_prompt="snow",
    seeds=(5,),
    steps=3,
    guidance=4.0,
    start_step=1,
    width=40,
    height=24,
)
OTHER_PHOTOS = replace(
    REQUEST, subjects=(Subject("cat", (tiny.photo(70),)), Subject("robot", (tiny.photo(71),), scale=0.7))
)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An adapter's file for each family."""
    folder = tmp_path_factory.mktemp("adapters")
    for family in ("sd", "sdxl"):
        save_adapter(tiny.adapter_for(open_kind(family)), folder / f"{family}.safetensors")
    return {family: folder / f"{family}.safetensors" for family in ("sd", "sdxl")}


@pytest.fixture(scope="module")
def personalizers(adapters: dict[str, Path]) -> dict[str, Personalizer]:
    """A model of each family with networks of its own, which have the same weights as the pipelines'."""
    return {family: Personalizer.of_pipeline(open_kind(family), path) for family, path in adapters.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stock_pipeline_shows_the_subjects_and_is_left_as_it_was(
    kind: str, personalizers: dict[str, Personalizer]
) -> None:
    pipe, stock, extra = open_kind(kind), open_kind(kind), KINDS[kind][1]
    untouched = pixels(stock, plain_call(kind))
    before = _state(pipe.unet)

    with personalizers[kind.split()[0]].attach(pipe) as attached:
        assert np.array_equal(pixels(pipe, plain_call(kind)), untouched)  # a call without a condition is stock
        condition = attached.condition(REQUEST)
        mine = pixels(pipe, condition.pipeline_kwargs() | extra)
        others = pixels(pipe, attached.condition(OTHER_PHOTOS).pipeline_kwargs() | extra)

    assert np.abs(mine - others).max() > 0
    maps = condition.maps
    assert maps.subjects == ("cat", "robot")
    assert maps.steps == (0, 1, 2)
    assert maps.at("cat", "image", step=0).max() == 0  # delayed
    assert maps.at("cat", "image", step=1).max() > 0
    assert maps.size == (12, 20)

    assert np.array_equal(pixels(pipe, plain_call(kind)), untouched)
    after = _state(pipe.unet)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], x) for name, x in before.items())
    assert _modules(pipe.unet) == _modules(stock.unet)


def _state(unet: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in unet.state_dict().items()}


def _modules(unet: UNet2DConditionModel) -> dict[str, object]:
    """The classes of all modules and processors, and what is set on the modules."""
    kinds = {name: (type(module), frozenset(vars(module))) for name, module in unet.named_modules()}
    return kinds | {name: type(processor) for name, processor in unet.attn_processors.items()}


def test_delay_to_the_end_sees_no_photo(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd controlnet")
    extra = KINDS["sd controlnet"][1]
    with personalizers["sd"].attach(pipe) as attached:
        conditions = [attached.condition(replace(request, start_step=3)) for request in (REQUEST, OTHER_PHOTOS)]
        plain, again, of_others = (
            pixels(pipe, condition.pipeline_kwargs() | extra) for condition in (conditions[0], *conditions)
        )
    assert np.array_equal(plain, again)
    assert np.array_equal(plain, of_others)


@pytest.mark.parametrize(("family", "guidance"), [("sd", 1.0), ("sd", 4.0), ("sdxl", 4.0)])
def test_it_is_the_same_picture_as_in_our_own_loop(
    family: str, guidance: float, personalizers: dict[str, Personalizer]
) -> None:
    request = replace(REQUEST, guidance=guidance)
    personalizer = personalizers[family]
    *_, last = personalizer.generate(request)
    pipe = open_kind(family)
    with personalizer.attach(pipe) as attached:
        condition = attached.condition(request)
        picture = pixels(pipe, condition.pipeline_kwargs())
    assert np.abs(picture - np.asarray(last.finished.image, dtype=int)).max() <= 1
    for stream in ("text", "image", "influence"):
        assert np.allclose(condition.maps.at("robot", stream), last.finished.maps.at("robot", stream), atol=2e-3)


def test_a_pipeline_of_another_precision_is_refused(personalizers: dict[str, Personalizer]) -> None:
    with pytest.raises(ModelError, match=r"works in torch\.bfloat16 on cpu, this model in torch\.float32"):
        personalizers["sd"].attach(open_kind("sd").to(dtype=torch.bfloat16))


@pytest.mark.slow
def test_around_a_pipeline_whose_networks_are_shared(adapters: dict[str, Path]) -> None:
    """One set of networks for two pipelines and our own loop, each right after the other is detached."""
    pipe = open_kind("sd")
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    *_, before = personalizer.generate(REQUEST)
    with personalizer.attach(pipe) as attached:
        pixels(pipe, attached.condition(REQUEST).pipeline_kwargs())
    *_, after = personalizer.generate(REQUEST)
    assert np.array_equal(np.asarray(before.finished.image), np.asarray(after.finished.image))


def test_networks_that_are_shared_become_stock_ones_again(adapters: dict[str, Path]) -> None:
    pipe, stock = open_kind("sd"), open_kind("sd")
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    assert _modules(pipe.unet) == _modules(stock.unet)
    *_, before = personalizer.generate(REQUEST)
    with personalizer.attach(pipe):
        pass
    assert _modules(pipe.unet) == _modules(stock.unet)
    pipe.unet.set_default_attn_processor()
    *_, after = personalizer.generate(REQUEST)
    assert np.array_equal(np.asarray(before.finished.image), np.asarray(after.finished.image))


def test_two_attachments_detached_in_the_order_in_which_they_were_made(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd")
    first, second = (personalizers["sd"].attach(pipe) for _ in range(2))
    first.detach()
    with pytest.raises(ModelError, match="was detached"):
        second.condition(REQUEST).pipeline_kwargs()
    second.detach()
    assert _modules(pipe.unet) == _modules(open_kind("sd").unet)


def test_a_call_after_detach_is_refused(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd")
    with personalizers["sd"].attach(pipe) as attached:
        kwargs = attached.condition(REQUEST).pipeline_kwargs()
    with pytest.raises(ModelError, match="was detached"):
        pipe(**kwargs)


def test_the_built_in_model_in_a_stock_pipeline(tmp_path: Path) -> None:
    folder = tiny.save_toybox(tmp_path)
    personalizer = Personalizer.load(folder)
    *_, last = personalizer.generate(REQUEST)
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    with personalizer.attach(pipe) as attached:
        picture = pixels(pipe, attached.condition(REQUEST).pipeline_kwargs())
    assert np.abs(picture - np.asarray(last.finished.image, dtype=int)).max() <= 1


def test_interleaved_calls_of_two_conditions(adapters: dict[str, Path]) -> None:
    pipe = open_kind("sd")
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    attached = personalizer.attach(pipe)
    first, second = (attached.condition(request) for request in (REQUEST, OTHER_PHOTOS))
    alone = [pixels(pipe, condition.pipeline_kwargs()) for condition in (first, second)]
    maps = [condition.maps.at("cat", "image") for condition in (first, second)]
    found: list[np.ndarray] = []
    outer = first.pipeline_kwargs()
    end_step = outer["callback_on_step_end"]

    def interrupted(*arguments: Any) -> dict[str, Any]:
        if arguments[1] == 1:
            found.append(pixels(_pipeline_of(pipe), second.pipeline_kwargs()))
        return end_step(*arguments)

    assert np.array_equal(pixels(pipe, outer | {"callback_on_step_end": interrupted}), alone[0])
    assert np.array_equal(found[0], alone[1])
    assert np.array_equal(first.maps.at("cat", "image"), maps[0])
    assert np.array_equal(second.maps.at("cat", "image"), maps[1])


def _pipeline_of(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """Another pipeline on the same networks; the scheduler is its own."""
    parts = pipe.components | {"scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config)}
    other = type(pipe)(**parts, requires_safety_checker=False)
    other.set_progress_bar_config(disable=True)
    return other


def test_without_any_part_it_is_the_stock_picture(adapters: dict[str, Path]) -> None:
    nothing = Components(vision_text=False, refiner=False, image_branch=False, null_token=False)
    pipe = open_kind("sd")
    stock = pixels(pipe, plain_call("sd"))
    attached = Personalizer.of_pipeline(pipe, adapters["sd"]).attach(pipe)
    condition = attached.condition(replace(REQUEST, components=nothing, steps=2, start_step=0))
    assert np.array_equal(pixels(pipe, condition.pipeline_kwargs()), stock)
    assert condition.maps is None


# ---------------------------------------------------------------- calls that leave steps out


@pytest.mark.parametrize("kind", ["sd img2img", "sdxl img2img", "sd inpaint", "sdxl inpaint"])
def test_delayed_merging_counts_the_steps_that_a_strength_leaves_out(
    kind: str, personalizers: dict[str, Personalizer]
) -> None:
    """Of 10 steps at a strength of 0.4 the last four run, all of them later than the delay."""
    pipe, extra = open_kind(kind), {name: x for name, x in KINDS[kind][1].items() if name != "strength"}
    attached = personalizers[kind.split()[0]].attach(pipe)
    late, other = (attached.condition(replace(r, steps=10, start_step=4)) for r in (REQUEST, OTHER_PHOTOS))
    at_once = attached.condition(replace(REQUEST, steps=10, start_step=0))
    mine, others, expected = (
        pixels(pipe, condition.pipeline_kwargs(strength=0.4) | extra) for condition in (late, other, at_once)
    )
    assert np.array_equal(mine, expected)
    assert np.abs(mine - others).max() > 0
    assert late.maps.steps == (0, 1, 2, 3)
    later = attached.condition(replace(REQUEST, steps=10, start_step=8))
    pixels(pipe, later.pipeline_kwargs(strength=0.4) | extra)
    assert [later.maps.at("cat", "image", step=step).max() > 0 for step in range(4)] == [False, False, True, True]


def test_a_strength_that_the_condition_was_not_told(personalizers: dict[str, Personalizer]) -> None:
    pipe, extra = open_kind("sd img2img"), {"image": PICTURE, "strength": 0.4}
    attached = personalizers["sd"].attach(pipe)
    delayed, at_once = (attached.condition(replace(REQUEST, steps=10, start_step=start)) for start in (4, 0))
    with pytest.raises(ModelError, match="give the strength to pipeline_kwargs"):
        pipe(**delayed.pipeline_kwargs() | extra)
    pipe(**at_once.pipeline_kwargs() | extra)
    with pytest.raises(ModelError, match="StableDiffusionPipeline has no strength"):
        personalizers["sd"].attach(open_kind("sd")).condition(REQUEST).pipeline_kwargs(strength=0.4)


# ---------------------------------------------------------------- steps and their callbacks


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("sdxl")])
def test_the_pooled_text_is_switched_when_the_photos_join(
    kind: str, guidance: float, personalizers: dict[str, Personalizer]
) -> None:
    """Also in pipelines that do not look at what the callback returns."""
    pipe, pooled = open_kind(kind), []
    conditions = personalizers["sdxl"].conditions(replace(REQUEST, guidance=guidance))
    pipe.unet.register_forward_pre_hook(
        lambda _, args, kwargs: pooled.append(kwargs["added_cond_kwargs"]["text_embeds"].clone()), with_kwargs=True
    )
    condition = personalizers["sdxl"].attach(pipe).condition(replace(REQUEST, guidance=guidance))
    pipe(**condition.pipeline_kwargs() | KINDS[kind][1])
    plain, personal = conditions.plain.text.pooled, conditions.personal.text.pooled
    assert not torch.allclose(plain, personal)
    assert [torch.allclose(x, plain, atol=1e-5) for x in pooled] == [True, False, False]
    assert [torch.allclose(x, personal, atol=1e-5) for x in pooled] == [False, True, True]


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "PNDMScheduler"])
@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_solvers_that_evaluate_twice_a_step(kind: str, name: str, personalizers: dict[str, Personalizer]) -> None:
    """Delay and maps count steps, in the stock pipeline as in our own loop."""
    pipe = open_kind(kind)
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, skip_prk_steps=True)
    personalizer = personalizers[kind]
    ours = Personalizer(replace(personalizer.backbone, scheduler=pipe.scheduler), personalizer.adapter)
    *_, last = ours.generate(REQUEST)
    assert (last.step, last.steps) == (3, 3)
    condition = personalizer.attach(pipe).condition(REQUEST)
    picture = pixels(pipe, condition.pipeline_kwargs())
    assert np.abs(picture - np.asarray(last.finished.image, dtype=int)).max() <= 1
    for maps in (condition.maps, last.finished.maps):
        assert maps.steps == (0, 1, 2)
        assert [maps.at("cat", "image", step=step).max() > 0 for step in range(3)] == [False, True, True]
    assert np.allclose(condition.maps.at("cat", "text"), last.finished.maps.at("cat", "text"), atol=2e-3)


def test_half_of_heuns_steps_are_left_out(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd img2img")
    pipe.scheduler = diffusers.HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    attached = personalizers["sd"].attach(pipe)
    condition = attached.condition(replace(REQUEST, steps=6, start_step=4))
    pixels(pipe, condition.pipeline_kwargs(strength=0.5) | {"image": PICTURE})
    assert [condition.maps.at("cat", "image", step=step).max() > 0 for step in range(3)] == [False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_of_the_callers_own_is_called_too(kind: str, personalizers: dict[str, Personalizer]) -> None:
    pipe, extra, seen = open_kind(kind), KINDS[kind][1], []
    attached = personalizers[kind.split()[0]].attach(pipe)
    expected = pixels(pipe, attached.condition(REQUEST).pipeline_kwargs() | extra)

    def watch(of: DiffusionPipeline, index: int, timestep: torch.Tensor, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((index, tensors["latents"].shape))
        return {"latents": 0.5 * tensors["latents"]} if index == 2 and halve else {}

    halve = False
    condition = attached.condition(REQUEST)
    assert np.array_equal(pixels(pipe, condition.pipeline_kwargs(callback_on_step_end=watch) | extra), expected)
    assert seen == [(index, (1, 4, 12, 20)) for index in range(3)]
    assert condition.maps.steps == (0, 1, 2)
    halve = True
    changed = attached.condition(REQUEST).pipeline_kwargs(callback_on_step_end=watch)
    assert not np.array_equal(pixels(pipe, changed | extra), expected)


def test_a_callback_that_takes_the_place_of_ours_is_refused(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd")
    attached = personalizers["sd"].attach(pipe)
    mine = {"callback_on_step_end": lambda *_: {}}
    for request in (replace(REQUEST, recording=None), replace(REQUEST, start_step=0)):
        with pytest.raises(ModelError, match=r"in pipeline_kwargs\(callback_on_step_end=\.\.\.\)"):
            pipe(**attached.condition(request).pipeline_kwargs() | mine)
    request = replace(REQUEST, recording=None, start_step=0)  # ours would have nothing to do
    expected = pixels(pipe, attached.condition(request).pipeline_kwargs())
    assert np.array_equal(pixels(pipe, attached.condition(request).pipeline_kwargs() | mine), expected)


def test_a_pipeline_that_does_not_report_its_steps(personalizers: dict[str, Personalizer]) -> None:
    parts = open_kind("sd").components
    del parts["image_encoder"]
    pipe = diffusers.StableDiffusionGLIGENPipeline(**parts, requires_safety_checker=False)
    attached = personalizers["sd"].attach(pipe)
    with pytest.raises(ModelError, match="give the request recording=None and start_step=0"):
        attached.condition(REQUEST)
    condition = attached.condition(replace(REQUEST, recording=None, start_step=0))
    with pytest.raises(ModelError, match="has no callback_on_step_end"):
        condition.pipeline_kwargs(callback_on_step_end=lambda *_: {})
    assert "callback_on_step_end" not in condition.pipeline_kwargs()


def test_arguments_are_for_one_call(personalizers: dict[str, Personalizer]) -> None:
    pipe = open_kind("sd")
    kwargs = personalizers["sd"].attach(pipe).condition(REQUEST).pipeline_kwargs()
    pipe(**kwargs)
    with pytest.raises(ModelError, match=r"call pipeline_kwargs\(\) for each call"):
        pipe(**kwargs)


# ---------------------------------------------------------------- LoRAs for few steps


def _few_step_lora(folder: Path, unet: UNet2DConditionModel) -> Path:
    """A random LoRA file in diffusers' layout, on attention and feed-forward layers as those of LCM are."""
    torch.manual_seed(8)
    targets = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.2", "proj_in"]
    unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=targets, init_lora_weights=False), "few")
    layers = get_peft_model_state_dict(unet, adapter_name="few")
    unet.delete_adapters("few")
    diffusers.StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return folder


@pytest.mark.parametrize("attach_first", [True, False])
def test_a_few_step_lora_loads_on_top(
    attach_first: bool, personalizers: dict[str, Personalizer], tmp_path: Path
) -> None:
    _few_step_lora(tmp_path, open_kind("sd").unet)
    request = replace(REQUEST, steps=3, guidance=1.0, start_step=0)
    pipe = open_kind("sd")
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    personalizer = personalizers["sd"]
    attached = personalizer.attach(pipe)
    without = pixels(pipe, attached.condition(request).pipeline_kwargs())
    if not attach_first:
        attached.detach()
    pipe.load_lora_weights(tmp_path)
    if not attach_first:
        attached = personalizer.attach(pipe)
    loaded = pixels(pipe, attached.condition(request).pipeline_kwargs())
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    fused = pixels(pipe, attached.condition(request).pipeline_kwargs())
    assert np.abs(loaded - without).max() > 5
    assert np.abs(loaded - fused).max() <= 1  # nothing of the LoRA is lost in the layers that we compute
    pipe.unfuse_lora()


def test_a_lora_counts_in_our_own_loop(adapters: dict[str, Path], tmp_path: Path) -> None:
    _few_step_lora(tmp_path, open_kind("sd").unet)
    request = replace(REQUEST, steps=3, guidance=1.0, start_step=0)
    pipe = open_kind("sd")
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.load_lora_weights(tmp_path)
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    *_, ours = personalizer.generate(request)
    attached = personalizer.attach(pipe)
    call = attached.condition(request).pipeline_kwargs()
    assert np.abs(pixels(pipe, call) - np.asarray(ours.finished.image, dtype=int)).max() <= 1


# ---------------------------------------------------------------- pipelines whose weights wait elsewhere


def _offload_parts(pipe: DiffusionPipeline) -> None:
    for part in (pipe.text_encoder, pipe.unet, pipe.vae):
        cpu_offload_with_hook(part, "cpu")


def _offload_layers(pipe: DiffusionPipeline) -> None:
    for part in (pipe.text_encoder, pipe.unet, pipe.vae):
        cpu_offload(part, torch.device("cpu"))


@pytest.mark.parametrize("offload", [_offload_parts, _offload_layers])
def test_offloaded_pipelines(
    offload: Callable[[DiffusionPipeline], None], personalizers: dict[str, Personalizer]
) -> None:
    """The hooks of a pipeline's own model and sequential offloading, which here lead from the CPU to the CPU."""
    personalizer = personalizers["sd"]
    pipe = open_kind("sd")
    expected = pixels(pipe, personalizer.attach(pipe).condition(REQUEST).pipeline_kwargs())
    pipe = open_kind("sd")
    offload(pipe)
    condition = personalizer.attach(pipe).condition(REQUEST)
    assert np.abs(pixels(pipe, condition.pipeline_kwargs()) - expected).max() <= 1


# ---------------------------------------------------------------- messages


def test_what_cannot_be_attached(adapters: dict[str, Path], personalizers: dict[str, Personalizer]) -> None:
    sd = personalizers["sd"]
    with pytest.raises(ModelError, match="another kind of model than that of a StableDiffusionXLPipeline"):
        sd.attach(open_kind("sdxl"))
    with pytest.raises(ModelError, match="without an adapter"):
        Personalizer(sd.backbone).attach(open_kind("sd"))
    with pytest.raises(CheckpointError, match="made for another model"):
        Personalizer.of_pipeline(open_kind("sd"), adapters["sdxl"])
    with pytest.raises(PromptError, match="robot"):
        sd.attach(open_kind("sd")).condition(replace(REQUEST, prompt="a cat"))


def test_a_call_that_does_not_match_the_condition(adapters: dict[str, Path]) -> None:
    pipe = open_kind("sd")
    attached = Personalizer.of_pipeline(pipe, adapters["sd"]).attach(pipe)
    kwargs = attached.condition(REQUEST).pipeline_kwargs()
    with pytest.raises(ModelError, match="one image a call"):
        pipe(**kwargs | {"num_images_per_prompt": 2})
    kwargs = attached.condition(REQUEST).pipeline_kwargs()
    with pytest.raises(ModelError, match="give the request the width and height"):
        pipe(**kwargs | {"width": 32, "height": 32})
