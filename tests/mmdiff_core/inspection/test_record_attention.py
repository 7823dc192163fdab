"""Stock pipelines of every kind, recorded: the same images, the right tokens, and nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import Attention
from peft import LoraConfig

from mmdiff_core import record_attention
from mmdiff_core.errors import ModelError, PromptError, SettingsError
from tests.helpers import tiny
from tests.helpers.ip_adapters import ip_adapter, save_ip_adapter
from tests.helpers.stock_kinds import KINDS, PICTURE, PROMPT, open_kind, pixels, plain_call

CAT = 2  # its token: start, a, cat
FINE = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"


class Written:
    """The textbook's attention: every layer's softmax of each evaluation, written out in the stock layer's stead."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(
        self, attn: Attention, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        query, key, value = (
            attn.head_to_batch_dim(x)
            for x in (
                attn.to_q(hidden_states),
                attn.to_k(encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        weights = (query.float() @ key.float().mT * attn.scale).softmax(-1)  # (B * H, L, T)
        self.seen.append(weights.unflatten(0, (-1, attn.heads)))
        return attn.to_out[0](attn.batch_to_head_dim(weights.to(value.dtype) @ value))


def _call(**changes: Any) -> dict[str, Any]:
    return {**plain_call("sd"), "prompt": "a cat on the beach", **changes}


def _quiet(pipe: DiffusionPipeline) -> DiffusionPipeline:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("kind", [*KINDS, "sd 2"])
def test_every_kind_of_pipeline_makes_the_same_image_and_is_left_as_it_was(kind: str) -> None:
    pipe = _quiet(tiny.stable_diffusion_2()) if kind == "sd 2" else open_kind(kind)
    call = plain_call("sd" if kind == "sd 2" else kind)
    stock = pixels(pipe, call)
    processors, hooks = dict(pipe.unet.attn_processors), _hooks(pipe.unet)

    with record_attention(pipe) as maps:
        recorded = pixels(pipe, {**call, "generator": torch.Generator().manual_seed(5)})

    assert np.array_equal(recorded, stock)
    assert all(pipe.unet.attn_processors[path] is processor for path, processor in processors.items())
    assert _hooks(pipe.unet) == hooks
    assert "encode_prompt" not in vars(pipe)
    assert np.array_equal(pixels(pipe, {**call, "generator": torch.Generator().manual_seed(5)}), stock)

    (image,) = maps
    assert [word.text for word in image.words] == PROMPT.split()
    assert image.steps == (0, 1)
    assert image.size == (12, 20)
    sums = image.average().sum(0)
    assert torch.allclose(sums, torch.ones_like(sums), atol=2e-3)
    assert maps.at("cat").shape == (12, 20)
    assert maps.at("cat").std() > 0
    rest = maps.at("<rest>") + sum(maps.at(word) for word in image.words)
    assert np.allclose(rest, 1, atol=2e-3)


def _hooks(unet: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in unet.modules())


@pytest.mark.parametrize("family", ["sd", "sd 2", "sdxl"])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_the_maps_are_the_softmax_of_the_conditional_rows(family: str, guidance: float) -> None:
    make = {"sd": tiny.stable_diffusion, "sd 2": tiny.stable_diffusion_2, "sdxl": tiny.stable_diffusion_xl}[family]
    pipe = _quiet(make())
    written = Written()
    layer = pipe.unet.get_submodule(FINE)
    call = _call(prompt=["a cat on the beach", "a dog"], num_images_per_prompt=2, guidance_scale=guidance)
    with record_attention(pipe, per_head=True) as maps:
        stock = layer.processor
        layer.set_processor(written)  # set in the middle: the recording is not in the processors
        pipe(**call | {"negative_prompt": None})
        layer.set_processor(stock)

    assert len(maps) == 4
    assert [image.prompt for image in maps] == ["a cat on the beach"] * 2 + ["a dog"] * 2
    for row, image in enumerate(maps):
        for step, softmax in enumerate(written.seen):
            mine = softmax[-4:][row].mT.unflatten(-1, (12, 20))  # (H, T, h, w)
            word = image.prompt.split()[1]
            assert np.allclose(maps.at(word, step, FINE, image=row), mine[:, CAT].mean(0), atol=1e-3)
            assert np.allclose(maps.at(word, step, FINE, head=1, image=row), mine[1, CAT], atol=1e-3)
            assert np.allclose(maps.at("<start>", step, FINE, image=row), mine[:, 0].mean(0), atol=1e-3)
            end = len(image.prompt.split()) + 1
            assert np.allclose(maps.at("<end>", step, FINE, image=row), mine[:, end].mean(0), atol=1e-3)
            assert np.allclose(
                maps.at("<padding>", step, FINE, image=row), mine[:, end + 1 :].sum(1).mean(0), atol=2e-3
            )


def test_a_word_of_several_pieces_is_their_sum() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe) as maps:
        pipe(**_call(prompt="a zebra, on the beach!"))
    (image,) = maps
    texts = [token.text for token in image.table.tokens]
    assert texts[:8] == ["<start>", "a", "z", "e", "b", "r", "a", ","]
    assert [token.kind for token in image.table.tokens if token.text in ",!"] == ["sign", "sign"]
    assert np.allclose(maps.at("zebra"), sum(maps.at(row) for row in range(2, 7)), atol=1e-6)
    assert np.allclose(maps.at("the beach"), maps.at("the") + maps.at("beach"), atol=1e-6)


def test_some_words_alone_leave_the_rest_in_one_sum() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe) as every:
        pipe(**_call())
    with record_attention(pipe, words=("cat",)) as maps:
        pipe(**_call())
    assert [token.text for token in maps[0].table.tokens] == ["<start>", "<other words>", "cat", "<end>", "<padding>"]
    for scale in ("share", "among_words", "contrast", "z"):
        assert np.allclose(maps.at("cat", scale=scale), every.at("cat", scale=scale), atol=0.02)
    with pytest.raises(PromptError, match='no map of "beach"'):
        maps.at("beach")


def test_a_word_that_is_not_there_is_told_before_anything_is_computed() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    seen: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda *_: seen.append(1))
    with record_attention(pipe, words=("robot",)), pytest.raises(PromptError, match='"robot" is not in the prompt'):
        pipe(**_call())
    assert not seen
    assert _hooks(pipe.unet) == 1


def test_some_layers_and_steps_alone() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe, layers=[FINE], steps=(1, 2)) as maps:
        pipe(**_call(num_inference_steps=4))
    assert maps[0].layers == {FINE: (12, 20)}
    assert maps[0].steps == (1, 2)
    assert maps[0].steps_made == 4
    with pytest.raises(SettingsError, match="no step 0: there are 1, 2"):
        maps.at("cat", step=0)
    with (
        pytest.raises(SettingsError, match='no cross-attention layer "attn1"'),
        record_attention(pipe, layers=["attn1"]),
    ):
        pass
    with (
        record_attention(pipe, steps=(2,)),
        pytest.raises(SettingsError, match="no step 2 to record: the call makes 2"),
    ):
        pipe(**_call(num_inference_steps=2))


@pytest.mark.parametrize(
    ("scheduler", "evaluations"), [("HeunDiscreteScheduler", 7), ("PNDMScheduler", 5), ("LCMScheduler", 4)]
)
def test_a_step_is_a_step_whatever_the_scheduler(scheduler: str, evaluations: int) -> None:
    pipe = _quiet(tiny.stable_diffusion())
    options = {"skip_prk_steps": True} if scheduler == "PNDMScheduler" else {}
    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config, **options)
    seen: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda *_: seen.append(1))
    with record_attention(pipe) as maps:
        pipe(**_call(num_inference_steps=4))
    assert len(seen) == evaluations
    assert maps[0].steps == (0, 1, 2, 3)
    assert maps[0].steps_made == 4


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "HeunDiscreteScheduler", "EulerDiscreteScheduler"])
def test_image_to_image_counts_the_steps_that_it_makes(scheduler: str) -> None:
    pipe = open_kind("sd img2img")
    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    with record_attention(pipe) as maps:
        pipe("a cat", image=PICTURE, strength=0.5, num_inference_steps=6)
    assert maps[0].steps == (0, 1, 2)


def test_attention_slicing_and_loras_are_in_what_is_recorded() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe) as plain:
        pipe(**_call())
    with record_attention(pipe) as sliced:
        pipe.enable_attention_slicing(1)
        pipe(**_call())
        pipe.disable_attention_slicing()
    assert np.allclose(sliced.at("cat"), plain.at("cat"), atol=1e-3)

    with record_attention(pipe) as adapted:
        pipe.unet.add_adapter(LoraConfig(r=4, target_modules=["attn2.to_q"], init_lora_weights=False), "strong")
        pipe(**_call())  # loaded in the middle: other modules stand in the place of the projections
    assert np.abs(adapted.at("cat", 0, FINE) - plain.at("cat", 0, FINE)).max() > 1e-3


def test_guidance_by_perturbed_attention_leaves_the_undisturbed_rows() -> None:
    """They stand in the middle of the batch."""
    parts = {**tiny.stable_diffusion().components, "requires_safety_checker": False}
    pipe = _quiet(diffusers.StableDiffusionPAGPipeline(**parts, pag_applied_layers="mid"))
    seen: list[torch.Tensor] = []
    hook = pipe.unet.get_submodule(FINE).to_q.register_forward_hook(lambda _m, _a, output: seen.append(output))
    with record_attention(pipe) as maps:
        pipe(**_call(num_inference_steps=2, pag_scale=3.0))
    hook.remove()
    layer = pipe.unet.get_submodule(FINE)
    key = layer.to_k(pipe.encode_prompt("a cat on the beach", "cpu", 1, False)[0])
    for step, query in enumerate(seen):
        assert len(query) == 3
        heads = [x.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for x in (query[1:2], key)]
        softmax = (heads[0] @ heads[1].mT * layer.scale).softmax(-1)[0].mean(0)  # (L, T)
        expected = softmax[:, CAT].unflatten(0, (12, 20)).detach()
        assert np.allclose(maps.at("cat", step, FINE), expected, atol=1e-3)


def test_guidance_that_ends_in_the_middle_is_followed() -> None:
    """As diffusers' documentation does it, by a callback."""

    def end_guidance(pipe: DiffusionPipeline, index: int, _time: object, tensors: dict[str, Any]) -> dict[str, Any]:
        if index == 1:
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
            pipe._guidance_scale = 0.0
        return tensors

    pipe = _quiet(tiny.stable_diffusion())
    callback = {"callback_on_step_end": end_guidance, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    with record_attention(pipe) as maps:
        pipe(**_call(num_inference_steps=4, **callback))
    assert maps[0].steps == (0, 1, 2, 3)
    with record_attention(pipe) as guided:
        pipe(**_call(num_inference_steps=4))
    assert np.allclose(maps.at("cat", 2), guided.at("cat", 2), atol=1e-3)  # the step after the last guided one


@pytest.mark.parametrize("offload", ["parts", "layers"])
def test_offloaded_pipelines(offload: str) -> None:
    """The hooks of a pipeline's own model and sequential offloading, which here lead from the CPU to the CPU."""
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe, concepts=("dog",)) as plain:
        pipe(**_call())
    for part in (pipe.text_encoder, pipe.unet, pipe.vae):
        _ = cpu_offload_with_hook(part, "cpu") if offload == "parts" else cpu_offload(part, torch.device("cpu"))
    with record_attention(pipe, concepts=("dog",)) as offloaded:
        pipe(**_call())
    for name in ("cat", "dog"):
        assert np.array_equal(offloaded.at(name), plain.at(name))


def test_an_ip_adapter_stays_what_it_is(tmp_path: Path) -> None:
    """Its text attention is recorded beside its image's, which is in the queries."""
    pipe = _quiet(tiny.stable_diffusion())
    save_ip_adapter(ip_adapter("plain", pipe), tmp_path / "ip.safetensors")
    pipe.load_ip_adapter(str(tmp_path), subfolder="", weight_name="ip.safetensors", image_encoder_folder=None)
    shown = [_call(ip_adapter_image=tiny.photo(number)) for number in (1, 2)]
    stock = pixels(pipe, shown[0] | {"generator": torch.Generator().manual_seed(5)})
    found = []
    for call in shown:
        with record_attention(pipe) as maps:
            image = pixels(pipe, call | {"generator": torch.Generator().manual_seed(5)})
        found.append((image, maps.at("cat")))
        sums = maps[0].average().sum(0)
        assert torch.allclose(sums, torch.ones_like(sums), atol=2e-3)
    assert np.array_equal(found[0][0], stock)
    assert np.abs(found[0][1] - found[1][1]).max() > 0


def test_encoded_prompts_need_their_text() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    states, negative = pipe.encode_prompt("a cat", "cpu", 1, True, "snow")
    call = _call(prompt=None, negative_prompt=None, prompt_embeds=states, negative_prompt_embeds=negative)
    with record_attention(pipe), pytest.raises(ModelError, match="prompt_embeds, whose words are unknown"):
        pipe(**call)
    with record_attention(pipe, prompt="a cat") as maps:
        pipe(**call)
    assert maps.at("cat").std() > 0


def test_the_last_call_counts_and_no_call_is_said() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe) as maps:
        with pytest.raises(PromptError, match="Call the pipeline first"):
            maps.at("cat")
        pipe(**_call())
        pipe(**_call(prompt="a dog in the snow"))
    assert len(maps) == 1
    assert maps[0].prompt == "a dog in the snow"


def test_other_pipelines_are_refused() -> None:
    pipe = tiny.stable_diffusion()
    with (
        pytest.raises(ModelError, match="DDPMPipeline cannot be recorded"),
        record_attention(diffusers.DDPMPipeline(pipe.unet, pipe.scheduler)),
    ):
        pass


def test_an_interrupted_call_leaves_nothing_behind() -> None:
    pipe = _quiet(tiny.stable_diffusion())

    def stop(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), record_attention(pipe) as maps:
        pipe(**_call(callback_on_step_end=stop))
    assert maps[0].steps == (0,)
    assert _hooks(pipe.unet) == 0
    assert "encode_prompt" not in vars(pipe)


def test_concept_words_join_the_softmax_of_the_recording_alone() -> None:
    """Their key is that of their own text, and neither the image nor the other maps know of them."""
    for make in (tiny.stable_diffusion, tiny.stable_diffusion_2, tiny.stable_diffusion_xl):
        pipe = _quiet(make())
        with record_attention(pipe) as plain:
            stock = pixels(pipe, _call())
        with record_attention(pipe, concepts=("robot", "black dog")) as maps:
            recorded = pixels(pipe, _call())
        assert np.array_equal(recorded, stock)
        assert maps[0].concepts == ("robot", "black dog")
        for word in ("cat", "<padding>"):
            assert np.array_equal(maps.at(word), plain.at(word))
        assert maps.at("robot").std() > 0
        assert 0 < maps.at("robot").min() < maps.at("robot").max() < 1
        assert np.abs(maps.at("robot") - maps.at("black dog")).max() > 1e-3


def test_a_concept_has_the_share_that_its_score_says() -> None:
    """Its tokens' part of a softmax that has them beside those of the text."""
    pipe = _quiet(tiny.stable_diffusion())
    layer = pipe.unet.get_submodule(FINE)
    seen: list[torch.Tensor] = []
    hook = layer.to_q.register_forward_hook(lambda _module, _args, output: seen.append(output))
    with record_attention(pipe, concepts=("black dog",)) as maps:
        pipe(**_call(num_inference_steps=1))
    hook.remove()
    text, alone = (pipe.encode_prompt(x, "cpu", 1, False)[0] for x in ("a cat on the beach", "black dog"))
    keys = torch.cat([layer.to_k(text), layer.to_k(alone[:, 1:3])], dim=1)
    query, key = (x.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for x in (seen[0][1:], keys))
    softmax = (query @ key.mT * layer.scale).softmax(-1)  # (1, H, L, 79)
    own = softmax[0, ..., -2:].sum(-1).mean(0).unflatten(0, (12, 20))
    assert np.allclose(maps.at("black dog", layer=FINE), own.detach(), atol=1e-3)


def test_a_concept_without_a_word_is_refused() -> None:
    pipe = _quiet(tiny.stable_diffusion())
    with record_attention(pipe, concepts=("!",)), pytest.raises(PromptError, match='concept "!" has no word'):
        pipe(**_call())


@pytest.mark.parametrize("budget", [130_000, 40_000, 20_000])
def test_a_memory_budget_is_held_and_what_it_dropped_is_said(budget: int) -> None:
    pipe = _quiet(tiny.stable_diffusion())
    run = {"num_inference_steps": 8, "num_images_per_prompt": 2}
    with record_attention(pipe, budget=None) as whole:
        pipe(**_call(**run))
    assert whole.dropped == ""
    assert sum(image.nbytes for image in whole) > 200_000
    with record_attention(pipe, budget=budget) as maps:
        pipe(**_call(**run))
    assert budget / 5 < sum(image.nbytes for image in maps) <= budget
    assert maps.dropped.startswith("To stay within the memory budget, ")
    assert "4 of 8 steps were kept, every second" in maps.dropped or budget < 130_000
    assert maps[0].steps[0] == 0
    assert len(maps[0].steps) < 8
    kept = maps.at("cat", 0, FINE, image=1)
    assert np.allclose(kept, _like(whole.at("cat", 0, FINE, image=1), kept), atol=1e-3)
    with record_attention(pipe, budget=100), pytest.raises(SettingsError, match=r"budget of 0\.0001 MB is too small"):
        pipe(**_call(**run))


def _like(values: np.ndarray, smaller: np.ndarray) -> np.ndarray:
    return torch.nn.functional.adaptive_avg_pool2d(torch.tensor(values)[None], smaller.shape)[0].numpy()
