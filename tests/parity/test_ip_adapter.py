"""Public IP-Adapters in our attention against diffusers' own pipelines: the same final latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Face, GenerateRequest, Subject
from tests.helpers import tiny
from tests.helpers.ip_adapters import Kind, ip_adapter, save_ip_adapter

PROMPT = "a cat next to a robot on the beach"
SIZE, STEPS = 32, 3
MAKE: dict[str, Callable[[], DiffusionPipeline]] = {"sd": tiny.stable_diffusion, "sdxl": tiny.stable_diffusion_xl}
MODELS = sorted(MAKE)
TOLERANCE = {"atol": 1e-5, "rtol": 1e-6}  # schedulers work in single precision
KINDS: list[Kind] = ["plain", "plus", "faceid", "faceid-plus"]
CAT, ROBOT = tiny.photo(1, (52, 37)), tiny.photo(3, (40, 61))


@pytest.fixture(params=[5.0, 1.0], ids=["guided", "unguided"])
def guidance(request: pytest.FixtureRequest) -> float:
    return request.param


def _pipeline(model: str) -> DiffusionPipeline:
    """A pipeline in double precision: random networks and guidance multiply what single precision rounds off."""
    return MAKE[model]().to(torch.float64)


def _embedding(seed: int) -> Tensor:
    return F.normalize(torch.randn(512, generator=torch.Generator().manual_seed(seed)), dim=0)


def _subject(name: str, photo: Image.Image, kind: Kind, **more: Any) -> Subject:
    """A subject as the kind of adapter wants it: the photo, or a face with the photo for its crop."""
    if not kind.startswith("faceid"):
        return Subject(name, (photo,), **more)
    return Subject(name, (photo,), faces=(Face(tuple(_embedding(len(name)).tolist()), photo),), **more)


def _ours(model: str, adapter: Path, subjects: Sequence[Subject], guidance: float) -> Tensor:
    """Return the final latents of our own pipeline."""
    personalizer = Personalizer.of_pipeline(_pipeline(model), adapter)
    plan = personalizer.plan(
        GenerateRequest(PROMPT, tuple(subjects), steps=STEPS, guidance=guidance, width=SIZE, height=SIZE)
    )
    *_, last = personalizer._sample(personalizer.conditions(plan.request), 0, None)
    return last.latents


def _theirs(
    model: str, adapter: Path, photos: Sequence[Image.Image], kind: Kind, guidance: float,
    scale: Any = 1.0, **arguments: Any,
) -> Tensor:  # fmt: skip
    """Return the final latents of diffusers' pipeline with its own IP-Adapter."""
    pipe = _pipeline(model)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ip_adapter(
        str(adapter.parent), subfolder="", weight_name=adapter.name, image_encoder_folder=None, low_cpu_mem_usage=False
    )
    pipe.set_ip_adapter_scale(scale)
    return pipe(
        PROMPT, num_inference_steps=STEPS, guidance_scale=guidance, width=SIZE, height=SIZE,
        output_type="latent", latents=torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)).double(),
        **_their_photos(pipe, photos, kind, guidance), **arguments,
    ).images  # fmt: skip


def _their_photos(pipe: DiffusionPipeline, photos: Sequence[Image.Image], kind: Kind, guidance: float) -> dict:
    if not kind.startswith("faceid"):
        return {"ip_adapter_image": [list(photos)]}
    names = ("cat", "robot")[: len(photos)]
    ids = torch.stack([_embedding(len(name)) for name in names])[None].double()  # (1, photos, 512)
    if kind == "faceid-plus":
        pixels = pipe.feature_extractor(list(photos), return_tensors="pt").pixel_values
        patches, blank = (
            pipe.image_encoder(x, output_hidden_states=True).hidden_states[-2][None].detach()
            for x in (pixels.double(), torch.zeros_like(pixels).double())
        )
        both = torch.cat([blank, patches]) if guidance > 1 else patches  # (halves, photos, M, Dh)
        pipe.unet.encoder_hid_proj.image_projection_layers[0].clip_embeds = both
    return {"ip_adapter_image_embeds": [torch.cat([torch.zeros_like(ids), ids]) if guidance > 1 else ids]}


def _save(tmp_path: Path, kind: Kind, model: str, suffix: str = ".safetensors") -> Path:
    return save_ip_adapter(ip_adapter(kind, MAKE[model]()), tmp_path / f"ip-adapter_{kind}{suffix}")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_one_photo_gives_their_latents(tmp_path: Path, kind: Kind, model: str, guidance: float) -> None:
    adapter = _save(tmp_path, kind, model, ".bin")
    ours = _ours(model, adapter, [_subject("cat", CAT, kind)], guidance)
    theirs = _theirs(model, adapter, [CAT], kind, guidance)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)
    without = _theirs(model, adapter, [CAT], kind, guidance, scale=0.0)
    assert (theirs - without).abs().max() > 1e-2, "the photo counts"


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["plain", "plus", "faceid"])
def test_two_subjects_are_two_pictures_at_once(tmp_path: Path, kind: Kind, model: str, guidance: float) -> None:
    adapter = _save(tmp_path, kind, model)
    subjects = [_subject("cat", CAT, kind, scale=0.6), _subject("robot", ROBOT, kind, scale=0.6)]
    theirs = _theirs(model, adapter, [CAT, ROBOT], kind, guidance, scale=0.6)
    torch.testing.assert_close(_ours(model, adapter, subjects, guidance), theirs, **TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_regions_are_their_masks(
    tmp_path: Path, kind: Kind, model: str, guidance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two disjoint masks. Theirs are resampled by bicubic interpolation; for the comparison by area, as ours."""
    monkeypatch.setattr(IPAdapterMaskProcessor, "downsample", staticmethod(_downsample_by_area))
    adapter = _save(tmp_path, kind, model)
    left, right = _halves()
    subjects = [_subject("cat", CAT, kind, region=left), _subject("robot", ROBOT, kind, region=right, scale=0.5)]
    masks = IPAdapterMaskProcessor(vae_scale_factor=1).preprocess([left, right], height=SIZE, width=SIZE)
    masks = masks.reshape(1, 2, SIZE, SIZE)
    theirs = _theirs(
        model, adapter, [CAT, ROBOT], kind, guidance, scale=[[1.0, 0.5]],
        cross_attention_kwargs={"ip_adapter_masks": [masks]},
    )  # fmt: skip
    torch.testing.assert_close(_ours(model, adapter, subjects, guidance), theirs, **TOLERANCE)


def _halves() -> tuple[Image.Image, Image.Image]:
    """Return masks of the left and the right part of an image, with a gap between them."""
    left, right = Image.new("L", (SIZE, SIZE)), Image.new("L", (SIZE, SIZE))
    left.paste(255, (0, 0, 12, SIZE))
    right.paste(255, (16, 8, SIZE, SIZE))
    return left, right


def _downsample_by_area(mask: Tensor, batch_size: int, num_queries: int, value_embed_dim: int) -> Tensor:
    side = int(num_queries**0.5)
    small = F.adaptive_avg_pool2d(mask[None], (side, side)).flatten(1)[..., None]  # (1, L, 1)
    return small.expand(batch_size, -1, value_embed_dim)
