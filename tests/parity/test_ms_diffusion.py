"""MS-Diffusion on our adapter against numbers that are computed step by step from its tensors alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from torch.nn import functional as F

from mmdiff_core.backbones.loading import layers_of
from mmdiff_core.encoders.photo_cache import encode_photo
from mmdiff_core.nn.attention import multimodal_attention
from mmdiff_core.nn.gates import Gate, region_gates
from mmdiff_core.nn.records import ImageFeatures, KeyValue
from mmdiff_core.nn.refiner import GroundedResampler
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Box, GenerateRequest, Subject
from mmdiff_core.weights.ms_diffusion import convert_ms_diffusion, ms_diffusion_tensors
from tests.helpers import tiny
from tests.helpers.ms_adapters import HEADS, PHRASE, QUERIES, WIDTH, ms_adapter

BOXES = ((0.0, 0.25, 0.5, 0.75), (0.5, 0.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionXLPipeline:
    return tiny.stable_diffusion_xl()


@pytest.fixture(scope="module")
def tables(pipe: StableDiffusionXLPipeline) -> dict[str, Any]:
    return ms_adapter(pipe)


def _adapter(pipe: StableDiffusionXLPipeline, tables: dict[str, Any]):
    base = layers_of(pipe)
    return convert_ms_diffusion(ms_diffusion_tensors(tables), base.cross_attention, base.text_widths).adapter


def _normed(x: Tensor, table: dict[str, Tensor], name: str) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], table[f"{name}.weight"], table[f"{name}.bias"])


def _expected_tokens(
    table: dict[str, Tensor], patches: Tensor, phrase: Tensor, box: tuple[float, ...] | None
) -> Tensor:
    """The tokens of one photo (N, D): every sum written out."""
    queries = table["grounding_latents"][0]
    if box is not None:
        waves = []
        for frequency in range(8):
            angles = [100 ** (frequency / 8) * edge for edge in box]
            waves += [math.sin(x) for x in angles] + [math.cos(x) for x in angles]
        read = torch.cat([phrase, torch.tensor(waves)])
        hidden = F.gelu(table["latent_proj.0.weight"] @ read + table["latent_proj.0.bias"])
        flat = table["latent_proj.2.weight"] @ hidden + table["latent_proj.2.bias"]
        queries = _normed(flat.reshape(QUERIES, WIDTH), table, "latent_norm")
    seen = patches @ table["proj_in.weight"].T + table["proj_in.bias"]
    for layer in range(4):
        path = f"layers.{layer}"
        own = _normed(queries, table, f"{path}.0.norm2")
        both = torch.cat([_normed(seen, table, f"{path}.0.norm1"), own])
        key, value = (both @ table[f"{path}.0.to_kv.weight"].T).chunk(2, dim=-1)
        query = own @ table[f"{path}.0.to_q.weight"].T
        heads = []
        for head in range(HEADS):
            part = slice(64 * head, 64 * (head + 1))
            scores = (query[:, part] @ key[:, part].T / 8).softmax(-1)
            heads.append(scores @ value[:, part])
        queries = queries + torch.cat(heads, -1) @ table[f"{path}.0.to_out.weight"].T
        inner = F.gelu(_normed(queries, table, f"{path}.1.0") @ table[f"{path}.1.1.weight"].T)
        queries = queries + inner @ table[f"{path}.1.3.weight"].T
    out = _normed(queries, table, "attention_norm") @ table["proj_out.weight"].T + table["proj_out.bias"]
    return _normed(out, table, "norm_out")


def test_the_grounded_tokens(pipe: StableDiffusionXLPipeline, tables: dict[str, Any]) -> None:
    resampler = _adapter(pipe, tables).resampler
    assert isinstance(resampler, GroundedResampler)
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(3, 17, tiny.PATCH_WIDTH, generator=generator)
    phrases = torch.randn(3, PHRASE, generator=generator)
    boxes = [*BOXES, (0.0, 0.0, 0.0, 0.0)]  # the last subject has none
    with torch.no_grad():
        found = resampler.ground(patches, torch.cat([phrases, torch.tensor(boxes)], dim=-1))
    for index, box in enumerate([*BOXES, None]):
        expected = _expected_tokens(tables["image_proj"], patches[index], phrases[index], box)
        assert torch.allclose(found[index], expected, atol=1e-5), index


def test_without_any_grounding_the_learned_queries_are_taken(
    pipe: StableDiffusionXLPipeline, tables: dict[str, Any]
) -> None:
    patches = torch.randn(1, 2, 1, 17, tiny.PATCH_WIDTH, generator=torch.Generator().manual_seed(3))
    features = ImageFeatures(torch.zeros(1, 2, 1, 0), patches, torch.ones(1, 2, 1, dtype=torch.bool))
    with torch.no_grad():
        tokens = _adapter(pipe, tables).embed(features).tokens[0].unflatten(0, (2, QUERIES))
    for index in range(2):
        expected = _expected_tokens(tables["image_proj"], patches[0, index, 0], torch.zeros(PHRASE), None)
        assert torch.allclose(tokens[index], expected, atol=1e-5)


def test_attention_within_boxes(pipe: StableDiffusionXLPipeline, tables: dict[str, Any]) -> None:
    """A softmax over the tokens of the boxes that a pixel is in, and over the dummies outside, which count nothing."""
    side, heads, width = 8, 2, 6
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(1, heads, side * side, width, generator=generator)
    text = KeyValue(*torch.randn(2, 1, heads, 7, width, generator=generator))
    image = KeyValue(*torch.randn(2, 1, heads, 2 * QUERIES, width, generator=generator))
    dummies = torch.randn(1, heads, 4, width, generator=generator)
    owners = torch.arange(2).repeat_interleave(QUERIES)
    masks = torch.zeros(2, side, side)
    for mask, (left, top, right, bottom) in zip(masks, BOXES, strict=True):
        mask[int(top * side) : int(bottom * side), int(left * side) : int(right * side)] = 1
    gates = region_gates(masks.repeat_interleave(2, 1).repeat_interleave(2, 2)[None], (side, side))
    found = multimodal_attention(query, text, image, None, Gate(gates, owners)).output

    inside = masks.flatten(1).T[:, owners]  # (L, K)
    outside = 1 - masks.amax(0).flatten()
    bias = -10_000 * (1 - torch.cat([outside[:, None].expand(-1, 4), inside], dim=-1))
    scores = query @ torch.cat([dummies, image.key], dim=2).mT / width**0.5 + bias
    shares = scores.softmax(-1) * (1 - outside)[:, None]
    expected = (query @ text.key.mT / width**0.5).softmax(-1) @ text.value + shares[..., 4:] @ image.value
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def personalizer(pipe: StableDiffusionXLPipeline, tables: dict[str, Any], tmp_path_factory) -> Personalizer:
    path: Path = tmp_path_factory.mktemp("ms") / "ms_adapter.bin"
    torch.save(tables, path)
    return Personalizer.of_pipeline(pipe, path)


def test_a_request_gives_every_subject_its_name_and_box(
    personalizer: Personalizer, pipe: StableDiffusionXLPipeline, tables: dict[str, Any]
) -> None:
    cat, robot = tiny.cat_and_robot()
    subjects = (Subject("cat", cat.photos, region=Box(*BOXES[0])), robot)
    request = GenerateRequest("a cat next to a robot", subjects, steps=2, guidance=4.0)
    found = personalizer.conditions(request).personal.subjects
    encoder = personalizer.backbone.image_encoder
    ids = pipe.tokenizer(["cat", "robot"], padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        phrases = pipe.text_encoder(ids).pooler_output
    photos = [(0, cat.photos[0]), (0, cat.photos[1]), (1, robot.photos[0])]
    own = found.tokens[1][found.present[1]].unflatten(0, (3, QUERIES))
    for tokens, (subject, photo) in zip(own, photos, strict=True):
        patches = encode_photo(encoder, photo).patches
        expected = _expected_tokens(tables["image_proj"], patches, phrases[subject], BOXES[0] if subject == 0 else None)
        assert torch.allclose(tokens, expected, atol=1e-4)
    *_, last = personalizer.generate(request)
    image = last.maps.at("cat", "image")
    inside = torch.as_tensor(image)[:, : image.shape[1] // 2].sum()
    assert inside > 0.95 * image.sum()  # layers are enlarged to the finest, across the edge
