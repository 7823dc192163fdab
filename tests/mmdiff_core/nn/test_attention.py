"""Multimodal attention against plain definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdiff_core.nn.attention import attend, multimodal_attention
from mmdiff_core.nn.layer import LayerWeights, image_key_value
from mmdiff_core.nn.records import SubjectEmbeddings
from mmdiff_core.types import MAP_KINDS, Recording
from tests.helpers.attention_layer import (
    B,
    K,
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


def test_strength_zero_is_text_only_exactly(weights: LayerWeights) -> None:
    query, text = draw_query(), draw_text(weights)
    image = image_key_value(weights, subject_embeddings(), torch.zeros(B, S))
    assert torch.equal(multimodal_attention(query, text, image, None).output, attend(query, text))
    stronger = image_key_value(weights, subject_embeddings(), torch.ones(B, S))
    assert not torch.allclose(multimodal_attention(query, text, stronger, None).output, attend(query, text))


def test_a_row_without_photos_gets_exactly_nothing(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[1] = False
    subjects, query, text = subject_embeddings(present), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    attended = multimodal_attention(query, text, image, map_request(subjects))
    assert torch.equal(attended.output[1], attend(query, text)[1])
    assert attended.output.isfinite().all()
    assert not attended.maps["image"][1].any()
    assert not attended.maps["influence"][1].any()
    assert attended.maps["image"][0].any()


def test_gradients_are_finite_with_absent_tokens(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[0, :N], present[1] = False, False
    subjects = subject_embeddings(present)
    subjects.tokens.requires_grad_()
    attended = multimodal_attention(
        draw_query(), draw_text(weights), image_key_value(weights, subjects, torch.ones(B, S)), map_request(subjects)
    )
    loss = attended.output.square().sum() + sum(x.square().sum() for x in attended.maps.values())
    (gradient,) = torch.autograd.grad(loss, subjects.tokens)
    assert gradient.isfinite().all()
    assert not gradient[~present].any()
    assert gradient[present].abs().amin(-1).min() > 0


def test_padding_is_as_if_it_were_not_there(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[:, N:] = False
    padded, query, text = subject_embeddings(present), draw_query(), draw_text(weights)
    alone = SubjectEmbeddings((), padded.tokens[:, :N], padded.owners[:N], present[:, :N])
    outputs = [
        multimodal_attention(query, text, image_key_value(weights, subjects, torch.ones(B, S)), None).output
        for subjects in (padded, alone)
    ]
    assert torch.allclose(*outputs, atol=1e-6)


def test_recording_changes_nothing(weights: LayerWeights) -> None:
    subjects, query, text = subject_embeddings(), draw_query(), draw_text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    recorded = multimodal_attention(query, text, image, map_request(subjects))
    unrecorded = multimodal_attention(query, text, image, None)
    assert unrecorded.maps is None
    assert torch.equal(recorded.output, unrecorded.output)


def test_the_image_term_of_the_last_rows_alone(weights: LayerWeights) -> None:
    """Rows without a photo may be left out, which changes nothing; gradients go through either way."""
    present = torch.ones(B, K, dtype=torch.bool)
    present[0] = False
    subjects, query, text = subject_embeddings(present), draw_query(), draw_text(weights)
    rest = SubjectEmbeddings((), subjects.tokens[1:], subjects.owners, present[1:])
    request = replace(map_request(subjects), rows=2)
    padded = multimodal_attention(query, text, image_key_value(weights, subjects, torch.ones(B, S)), request)
    for full in (False, True):
        image = image_key_value(weights, rest, torch.ones(B - 1, S), full)
        assert (image.bias is None) is full
        with torch.no_grad():
            fewer = multimodal_attention(query, text, image, request)
        assert torch.allclose(fewer.output, padded.output, atol=1e-6)
        assert torch.equal(fewer.output[0], attend(query, text)[0])
        assert all(torch.allclose(fewer.maps[stream], padded.maps[stream], atol=1e-6) for stream in MAP_KINDS)
    tracked = query.requires_grad_()
    multimodal_attention(tracked, text, image, request).output.sum().backward()
    assert tracked.grad is not None


@pytest.mark.parametrize("kinds", [("text", "image"), ("image",), ("text",)])
@pytest.mark.parametrize("rows", [B, B - 1])
def test_shared_scores_give_the_same_output_maps_and_gradients(
    kinds: tuple[str, ...], rows: int, weights: LayerWeights
) -> None:
    """A subject's photo is padding, another has no word, and the first row may have no image term."""
    present = torch.ones(B, K, dtype=torch.bool)
    present[1, :N] = False
    subjects = subject_embeddings(present)
    query, text = draw_query().requires_grad_(), draw_text(weights)
    shown = replace(subjects, tokens=subjects.tokens[-rows:], present=present[-rows:])
    image = image_key_value(weights, shown, torch.full((rows, S), 0.7))
    request = replace(map_request(subjects, Recording(kinds)), rows=rows)
    apart = multimodal_attention(query, text, image, request)
    shared = multimodal_attention(query, text, image, replace(request, shared_scores=True))
    torch.testing.assert_close(shared.output, apart.output)
    assert shared.maps.keys() == apart.maps.keys() == set(kinds)
    for kind in kinds:
        torch.testing.assert_close(shared.maps[kind], apart.maps[kind])
    first, second = (
        torch.autograd.grad(one.output.square().sum() + sum((m * m).sum() for m in one.maps.values()), query)
        for one in (apart, shared)
    )
    assert (first[0] - second[0]).norm() < 1e-4 * first[0].norm()


def test_shared_scores_without_an_image_term(weights: LayerWeights) -> None:
    request = map_request(subject_embeddings(), Recording(("text", "image")))
    apart = multimodal_attention(draw_query(), draw_text(weights), None, request)
    shared = multimodal_attention(draw_query(), draw_text(weights), None, replace(request, shared_scores=True))
    torch.testing.assert_close(shared.output, apart.output)
    torch.testing.assert_close(dict(shared.maps), dict(apart.maps))


@pytest.mark.parametrize("recording", [Recording(), Recording(("text",), per_head=True)])
def test_maps_that_one_softmax_does_not_give_are_made_beside_it(recording: Recording, weights: LayerWeights) -> None:
    request = replace(map_request(subject_embeddings(), recording), shared_scores=True)
    image = image_key_value(weights, subject_embeddings(), torch.ones(B, S))
    maps = multimodal_attention(draw_query(), draw_text(weights), image, request).maps
    assert maps.keys() == set(recording.kinds)
    assert maps["text"].ndim == (4 if recording.per_head else 3)
