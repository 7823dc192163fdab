"""Pipelines that were brought into a state first: LoRAs, attention slicing, an IP-Adapter, half precision, hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import DiffusionPipeline
from diffusers.image_processor import IPAdapterMaskProcessor
from peft import LoHaConfig, LoraConfig, inject_adapter_in_model
from PIL import Image

from mmdiff_core.backbones.stable_diffusion import load_stable_diffusion
from mmdiff_core.encoders.face import InsightFaces
from mmdiff_core.errors import ModelError
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest
from mmdiff_core.weights.adapter_file import load_adapter, save_adapter
from tests.helpers import tiny
from tests.helpers.faces import Squares

pytestmark = pytest.mark.slow

REQUEST = GenerateRequest(
    prompt="a cat next to a robot on the beach",
    subjects=tiny.cat_and_robot(),
    negative_prompt="snow",
    seeds=(5,),
    steps=2,
    guidance=4.0,
    width=40,
    height=24,
)
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    for family in ("sd", "sdxl"):
        save_adapter(tiny.adapter_for(_pipeline(family)), folder / f"{family}.safetensors")
    return {family: folder / f"{family}.safetensors" for family in ("sd", "sdxl")}


def _pipeline(family: str = "sd") -> DiffusionPipeline:
    pipe = tiny.stable_diffusion() if family == "sd" else tiny.stable_diffusion_xl()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _picture(personalizer: Personalizer, **changes: Any) -> np.ndarray:
    *_, last = personalizer.generate(replace(REQUEST, **changes))
    return np.asarray(last.finished.image, dtype=int)


def _pixels(pipe: DiffusionPipeline, **call: Any) -> np.ndarray:
    return np.asarray(pipe(**call).images[0], dtype=int)


def _plain(**more: Any) -> dict[str, Any]:
    """A call without any subject."""
    generator = torch.Generator().manual_seed(5)
    numbers = {"num_inference_steps": 2, "guidance_scale": 4.0, "width": 40, "height": 24}
    return {"prompt": REQUEST.prompt, "negative_prompt": "snow", "generator": generator, **numbers, **more}


# ---------------------------------------------------------------- LoRAs


def _add_lora(pipe: DiffusionPipeline, name: str = "style", seed: int = 8, **options: Any) -> None:
    """A random LoRA in the attention and elsewhere."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=2, target_modules=[*ATTENTION, "ff.net.2"], init_lora_weights=False, **options)
    pipe.unet.add_adapter(config, name)
    for parameter, values in pipe.unet.named_parameters():
        if "magnitude" in parameter:
            torch.nn.init.uniform_(values, 0.5, 2.0)


def _fuse(pipe: DiffusionPipeline) -> None:
    pipe.fuse_lora()
    pipe.unload_lora_weights()


@pytest.mark.parametrize(
    "change",
    [
        lambda pipe: pipe.set_adapters(["style"], 0.3),
        lambda pipe: pipe.unet.disable_adapters(),
        lambda pipe: pipe.fuse_lora(lora_scale=0.5),
        _fuse,
        lambda pipe: _add_lora(pipe, "second", seed=9),
    ],
    ids=["rescaled", "disabled", "fused", "fused and unloaded", "a second one"],
)
def test_a_lora_counts_the_same_in_any_order(
    change: Callable[[DiffusionPipeline], None], adapters: dict[str, Path]
) -> None:
    late = _pipeline()
    personalizer = Personalizer.of_pipeline(late, adapters["sd"])
    before = _picture(personalizer)
    _add_lora(late)
    loaded = _picture(personalizer)
    change(late)
    early = _pipeline()
    _add_lora(early)
    assert np.array_equal(loaded, _picture(Personalizer.of_pipeline(early, adapters["sd"])))
    change(early)
    assert np.array_equal(_picture(personalizer), _picture(Personalizer.of_pipeline(early, adapters["sd"])))
    assert np.abs(loaded - before).max() > 5


def test_after_unloading_it_is_the_same_picture_as_before(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    before, merged = _picture(personalizer), personalizer.weights.current()
    assert personalizer.weights.current() is merged  # nothing is merged again for nothing
    _add_lora(pipe)
    _picture(personalizer)
    pipe.unload_lora_weights()
    assert np.array_equal(_picture(personalizer), before)


@pytest.mark.parametrize("names", [["style"], ["style", "second"]])
def test_dora_is_merged_as_peft_computes_it(names: list[str], adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    for seed, name in enumerate(names):
        _add_lora(pipe, name, seed=seed, use_dora=name == "style")
    pipe.set_adapters(names, [0.7] * len(names))
    merged = Personalizer.of_pipeline(pipe, adapters["sd"]).weights.current()
    plain = _pipeline()
    adapter = Personalizer.of_pipeline(plain, adapters["sd"]).adapter
    path = "mid_block.attentions.0.transformer_blocks.0.attn2"
    layer = pipe.unet.get_submodule(path).to_q
    hidden = torch.randn(7, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer(hidden) + hidden @ adapter.unet[path].query.delta().T
        found = hidden @ merged[path].query.T
    assert (found - expected).abs().max() < 1e-4
    assert np.isfinite(_picture(Personalizer.of_pipeline(pipe, adapters["sd"]))).all()


def test_other_low_rank_layers_are_read_from_their_forward(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    torch.manual_seed(8)
    inject_adapter_in_model(LoHaConfig(r=2, alpha=2, target_modules=["to_q"], init_weights=False), pipe.unet, "loha")
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    path = "mid_block.attentions.0.transformer_blocks.0.attn2"
    layer = pipe.unet.get_submodule(path).to_q
    hidden = torch.randn(7, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = layer(hidden) + hidden @ personalizer.adapter.unet[path].query.delta().T
    assert (hidden @ personalizer.weights.current()[path].query.T - expected).abs().max() < 1e-4


def test_a_lora_with_biases_is_refused(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    _add_lora(pipe, lora_bias=True)
    with pytest.raises(ModelError, match="A LoRA with biases cannot be combined with subjects"):
        Personalizer.of_pipeline(pipe, adapters["sd"])


def test_loras_that_change_between_condition_and_call_are_refused(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    attached = Personalizer.of_pipeline(pipe, adapters["sd"]).attach(pipe)
    _add_lora(pipe)
    for spoil in (lambda call: pipe.set_adapters(["style"], 0.5), lambda call: call.update(scale=0.5)):
        call = attached.condition(REQUEST).pipeline_kwargs()
        spoil(call["cross_attention_kwargs"])
        with pytest.raises(ModelError, match=r"were loaded, scaled or unloaded after the condition was made"):
            pipe(**call)


# ---------------------------------------------------------------- processors of others


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_attention_slicing_changes_nothing(when: str, family: str, adapters: dict[str, Path]) -> None:
    expected = _picture(Personalizer.of_pipeline(_pipeline(family), adapters[family]))
    pipe, stock = _pipeline(family), _pipeline(family)
    if when == "before":
        pipe.enable_attention_slicing(1)
    personalizer = Personalizer.of_pipeline(pipe, adapters[family])
    with personalizer.attach(pipe) as attached:
        if when == "after":
            _picture(personalizer)
            pipe.enable_attention_slicing(1)
        assert np.abs(_picture(personalizer) - expected).max() <= 1
        mine = _pixels(pipe, **attached.condition(REQUEST).pipeline_kwargs())
        assert np.abs(mine - expected).max() <= 1
        stock.enable_attention_slicing(1)
        assert np.array_equal(_pixels(pipe, **_plain()), _pixels(stock, **_plain()))
    assert {type(x) for x in pipe.unet.attn_processors.values()} == {
        type(x) for x in stock.unet.attn_processors.values()
    }


def test_processors_that_change_between_arguments_and_call_are_refused(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    attached = Personalizer.of_pipeline(pipe, adapters["sd"]).attach(pipe)
    call = attached.condition(REQUEST).pipeline_kwargs()
    pipe.enable_attention_slicing(1)
    with pytest.raises(ModelError, match="has been given other attention processors"):
        pipe(**call)


class _Scaled:
    """A processor of somebody's own with an argument of its own."""

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        volume: float = 1.0,
    ) -> torch.Tensor:
        return hidden_states * volume


def test_arguments_of_other_processors_are_handed_on(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    pipe.unet.set_attn_processor(_Scaled())
    expected = _pixels(pipe, **_plain(cross_attention_kwargs={"volume": 0.5}))
    assert not np.array_equal(expected, _pixels(pipe, **_plain()))
    with Personalizer.of_pipeline(pipe, adapters["sd"]).attach(pipe):
        assert np.array_equal(_pixels(pipe, **_plain(cross_attention_kwargs={"volume": 0.5})), expected)


# ---------------------------------------------------------------- an IP-Adapter


def _load_ip_adapter(pipe: DiffusionPipeline) -> None:
    torch.manual_seed(6)
    layers = [attn for name, attn in pipe.unet.named_modules() if name.endswith("attn2")]
    weights = {
        f"{2 * index + 1}.to_{part}_ip.weight": torch.randn_like(getattr(attn, f"to_{part}").weight)
        for index, attn in enumerate(layers)
        for part in ("k", "v")
    }
    width = pipe.unet.config.cross_attention_dim
    projection = {
        "proj.weight": torch.randn(4 * width, tiny.PROJECTION),
        "proj.bias": torch.zeros(4 * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    pipe.unet._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": weights}])


def _with_image(**more: Any) -> dict[str, Any]:
    return _plain(ip_adapter_image=tiny.photo(30), **more)


def _masked() -> dict[str, Any]:
    mask = Image.new("L", (40, 24))
    mask.paste(255, (0, 0, 20, 24))
    masks = IPAdapterMaskProcessor().preprocess([mask], height=24, width=40)
    return _with_image(cross_attention_kwargs={"ip_adapter_masks": [masks.reshape(1, 1, 24, 40)]})


@pytest.mark.parametrize("attach_first", [True, False])
def test_plain_calls_with_an_ip_adapter_stay_stock(attach_first: bool, adapters: dict[str, Path]) -> None:
    stock, pipe = _pipeline(), _pipeline()
    _load_ip_adapter(stock)
    personalizer = Personalizer.of_pipeline(_pipeline(), adapters["sd"])
    if attach_first:
        attached = personalizer.attach(pipe)
        _load_ip_adapter(pipe)
    else:
        _load_ip_adapter(pipe)
        attached = personalizer.attach(pipe)
    assert np.array_equal(_pixels(pipe, **_with_image()), _pixels(stock, **_with_image()))
    masked = _pixels(stock, **_masked())
    assert not np.array_equal(masked, _pixels(stock, **_with_image()))
    assert np.array_equal(_pixels(pipe, **_masked()), masked)
    for each in (pipe, stock):
        each.set_ip_adapter_scale(0.4)
    assert np.array_equal(_pixels(pipe, **_with_image()), _pixels(stock, **_with_image()))
    with pytest.raises(ModelError, match=r"call the pipeline's unload_ip_adapter\(\) first"):
        attached.condition(REQUEST)
    pipe.unload_ip_adapter()
    mine = _pixels(pipe, **attached.condition(REQUEST).pipeline_kwargs())
    assert np.abs(mine - _picture(personalizer)).max() <= 1


def test_an_ip_adapter_is_refused_in_our_own_loop_and_in_a_call_made_before_it(adapters: dict[str, Path]) -> None:
    pipe = _pipeline()
    personalizer = Personalizer.of_pipeline(pipe, adapters["sd"])
    attached = personalizer.attach(pipe)
    condition = attached.condition(REQUEST)
    call = condition.pipeline_kwargs()
    _load_ip_adapter(pipe)
    with pytest.raises(ModelError, match="An IP-Adapter is loaded"):
        personalizer.generate(REQUEST)
    with pytest.raises(ModelError, match="An IP-Adapter is loaded"):
        condition.pipeline_kwargs()
    with pytest.raises(ModelError, match="other attention processors"):
        pipe(**call, ip_adapter_image=tiny.photo(30))


# ---------------------------------------------------------------- half precision


def _make_overflow(pipe: DiffusionPipeline) -> None:
    """Activations of the autoencoder beyond half precision's 65504; its output stays as it was."""
    vae = pipe.vae
    vae.register_to_config(force_upcast=True)
    with torch.no_grad():
        for half in (vae.encoder, vae.decoder):
            for weights in (half.conv_in.weight, half.conv_in.bias):
                weights.mul_(3e5)


def test_an_autoencoder_that_overflows_in_half_precision_runs_in_float32(adapters: dict[str, Path]) -> None:
    pipe = _pipeline("sdxl")
    _make_overflow(pipe)
    pipe.to(dtype=torch.float16)
    stock = _pixels(pipe, **_plain())
    assert pipe.vae.dtype == torch.float16
    with torch.no_grad():
        assert not pipe.vae.encode(torch.ones(1, 3, 32, 32).half()).latent_dist.mode().isfinite().all()
    personalizer = Personalizer.of_pipeline(pipe, adapters["sdxl"])
    assert personalizer.backbone.latent_preview.matrix.isfinite().all()
    assert np.abs(_picture(Personalizer(personalizer.backbone), subjects=()) - stock).max() <= 1
    *_, last = personalizer.generate(REQUEST)
    with personalizer.attach(pipe) as attached:
        mine = _pixels(pipe, **attached.condition(REQUEST).pipeline_kwargs())
    assert np.abs(mine - np.asarray(last.finished.image, dtype=int)).max() <= 1
    assert pipe.vae.dtype == torch.float16  # as the pipeline had it


# ---------------------------------------------------------------- networks that wait elsewhere


@pytest.mark.parametrize("layers", [True, False])
def test_an_offloaded_image_encoder(layers: bool, adapters: dict[str, Path]) -> None:
    expected = _picture(Personalizer.of_pipeline(_pipeline(), adapters["sd"]))
    pipe = _pipeline()
    parts = (pipe.image_encoder, pipe.text_encoder, pipe.unet, pipe.vae) if layers else (pipe.image_encoder,)
    for part in parts:
        cpu_offload(part, torch.device("cpu"))
    assert next(pipe.image_encoder.parameters()).is_meta
    assert np.array_equal(_picture(Personalizer.of_pipeline(pipe, adapters["sd"])), expected)
    assert next(pipe.image_encoder.parameters()).is_meta  # and waits as before


def test_a_model_that_moves_keeps_the_callers_face_analyser(tmp_path: Path) -> None:
    save_adapter(tiny.adapter_for(_pipeline(), source="face"), tmp_path / "face.safetensors")
    loaded, squares = Personalizer.of_pipeline(_pipeline(), tmp_path / "face.safetensors"), Squares()
    assert Personalizer(loaded.backbone, loaded.adapter, squares).moved_to("cpu").faces is squares
    assert isinstance(loaded.moved_to("cpu").faces, InsightFaces)
    loaded.faces = squares
    assert loaded.moved_to("cpu").faces is squares


# ---------------------------------------------------------------- weights of 8 bits


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_weights_that_wait_in_eight_bits_show_the_subjects(family: str, adapters: dict[str, Path]) -> None:
    """Layerwise casting, before the pipeline is shared: as the same pipeline with weights rounded once."""
    cast, rounded = _pipeline(family), _pipeline(family)
    cast.unet.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    with torch.no_grad():
        for name, values in cast.unet.named_parameters():
            rounded.unet.get_parameter(name).copy_(values.float())
    own, expected = (Personalizer.of_pipeline(pipe, adapters[family]) for pipe in (cast, rounded))
    assert np.abs(_picture(own) - _picture(expected)).max() <= 1
    with own.attach(cast) as attached:
        pixels = _pixels(cast, **attached.condition(REQUEST).pipeline_kwargs())
    assert np.abs(pixels - _picture(expected)).max() <= 1


@pytest.mark.parametrize(("model", "adapter"), [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)])
def test_an_adapter_of_another_precision(model: torch.dtype, adapter: torch.dtype, sd: Path) -> None:
    backbone, _ = load_stable_diffusion(sd, sd / "adapter.safetensors", dtype=model)
    own = Personalizer(backbone, load_adapter(sd / "adapter.safetensors", adapter))
    with pytest.raises(ModelError, match=f"The adapter is in {adapter} and the model in {model}: make a new Pers"):
        own.plan(REQUEST)
    assert _picture(Personalizer(backbone, own.adapter.to(model))).std() > 0
