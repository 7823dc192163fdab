"""The maps of multimodal attention against plain definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmdiff_core.nn.attention import attend, multimodal_attention
from mmdiff_core.nn.layer import LayerWeights, image_key_value
from mmdiff_core.nn.records import KeyValue, SubjectEmbeddings
from mmdiff_core.types import MAP_KINDS, Recording
from tests.helpers.attention_layer import (
    B,
    H,
    L,
    N,
    S,
    draw_query,
    draw_text,
    layer_weights,
    map_request,
    subject_embeddings,
)


@pytest.fixture(params=[True, False], ids=["null", "no_null"])
def weights(request: pytest.FixtureRequest) -> LayerWeights:
    return layer_weights(request.param)


def _part_norm(query: Tensor, image: KeyValue, subject: int) -> Tensor:
    """Norm over all heads of what a subject adds, (B, L)."""
    mine = slice(subject * N, (subject + 1) * N)
    softmax = (query @ image.key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return (softmax[..., mine] @ image.value[:, :, mine]).norm(dim=(1, 3))


def test_maps_are_what_they_say(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.tensor([[1.0, 0.5]]).expand(B, -1))
    request = map_request(subjects, Recording(per_head=True))
    attended = multimodal_attention(query, text, image, request)
    text_softmax = (query @ text.key.mT / query.shape[-1] ** 0.5).softmax(-1)  # (B, H, L, T)
    image_softmax = (query @ image.key.mT / query.shape[-1] ** 0.5).softmax(-1)  # (B, H, L, K[+1])
    for b in range(B):
        for s in range(S):
            word, mine = int(request.words[b, s]), slice(s * N, (s + 1) * N)
            column = text_softmax[b, ..., word] if word >= 0 else torch.zeros(H, L)
            part = image_softmax[b, ..., mine] @ image.value[b, :, mine]  # (H, L, d)
            influence = part.norm(dim=-1) / attended.output[b].norm(dim=-1)
            assert torch.allclose(attended.maps["text"][b, s], column, atol=1e-6)
            assert torch.allclose(attended.maps["image"][b, s], image_softmax[b, ..., mine].sum(-1), atol=1e-6)
            assert torch.allclose(attended.maps["influence"][b, s], influence, atol=1e-5)


def test_heads_averaged_or_apart(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    apart, averaged = (
        multimodal_attention(query, text, image, map_request(subjects, Recording(per_head=per_head))).maps
        for per_head in (True, False)
    )
    for stream in MAP_KINDS:
        assert apart[stream].shape == (B, S, H, L)
        assert averaged[stream].shape == (B, S, L)
    assert torch.allclose(apart["image"].mean(2), averaged["image"])
    assert torch.allclose(apart["text"].mean(2), averaged["text"])
    whole = multimodal_attention(query, text, image, None).output.norm(dim=(1, 3))
    influence = torch.stack([_part_norm(query, image, s) / whole for s in range(S)], dim=1)
    assert torch.allclose(averaged["influence"], influence, atol=1e-5)


def test_only_what_was_asked_for(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    for stream in MAP_KINDS:
        request = map_request(subjects, Recording(kinds=(stream,)))
        assert list(multimodal_attention(query, text, image, request).maps) == [stream]


def test_other_words_have_maps_of_their_own(weights: LayerWeights) -> None:
    """As a subject's word has one, in every row."""
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    maps = multimodal_attention(query, text, image, map_request(subjects, Recording(tokens=((5,), (1,))))).maps
    softmax = (query @ text.key.mT / query.shape[-1] ** 0.5).softmax(-1).mean(1)  # (B, L, T)
    assert torch.allclose(maps["words"], softmax[..., [5, 1]].mT, atol=1e-6)
    assert torch.allclose(maps["words"][0, 1], maps["text"][0, 0])  # token 1 is a subject's word in the first row


def test_only_the_last_rows_are_recorded(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    every = multimodal_attention(query, text, image, map_request(subjects)).maps
    last = multimodal_attention(query, text, image, replace(map_request(subjects), rows=1)).maps
    for kind, maps in last.items():
        assert len(maps) == 1
        assert torch.allclose(maps, every[kind][-1:], atol=1e-6)


def test_without_an_image_term_only_the_text_has_a_map(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    attended = multimodal_attention(query, text, None, map_request(subjects))
    assert torch.equal(attended.output, attend(query, text))
    assert attended.maps["text"].any()
    assert not attended.maps["image"].any()
    assert not attended.maps["influence"].any()
    assert attended.maps["image"].shape == attended.maps["influence"].shape == (B, S, L)


def test_a_null_token_gives_a_single_subject_a_map_that_is_not_flat() -> None:
    maps = {}
    for null_token in (True, False):
        weights = layer_weights(null_token)
        subjects = SubjectEmbeddings(
            (), subject_embeddings().tokens[:, :N], torch.zeros(N).long(), torch.ones(B, N).bool()
        )
        image = image_key_value(weights, subjects, torch.ones(B, 1))
        request = replace(map_request(subjects), words=torch.ones(B, 1).long())
        maps[null_token] = multimodal_attention(draw_query(), draw_text(weights), image, request).maps["image"]
    assert torch.allclose(maps[False], torch.ones(B, 1, L))
    assert maps[True].max() < 1
    assert maps[True].std(-1).min() > 0.05


def test_maps_are_float32_and_precise_under_autocast(weights: LayerWeights) -> None:
    subjects, query = subject_embeddings(), draw_query().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        text, image = draw_text(weights), image_key_value(weights, subjects, torch.ones(B, S))
        attended = multimodal_attention(query, text, image, map_request(subjects))
    assert attended.output.dtype == torch.bfloat16
    assert all(x.dtype == torch.float32 for x in attended.maps.values())
    exact = (query.float() @ text.key.float().mT / query.shape[-1] ** 0.5).softmax(-1).mean(1)[0, :, 1]
    assert torch.allclose(attended.maps["text"][0, 0], exact, atol=1e-6)
