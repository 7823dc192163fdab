"""Multimodal attention and its maps against plain definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mmdiff_core.nn.attention import MapRequest, attend, multimodal_attention, pixel_maps, token_maps
from mmdiff_core.nn.config import AttentionLayer
from mmdiff_core.nn.layer import LayerLoras, LayerWeights, image_key_value, text_key_value
from mmdiff_core.nn.records import KeyValue, SubjectEmbeddings
from mmdiff_core.types import MAP_KINDS, Recording

B, S, N, H, L, D, INNER, T = 3, 2, 4, 2, 15, 10, 16, 7
K = S * N


def _weights(null_token: bool) -> LayerWeights:
    torch.manual_seed(0)
    loras = LayerLoras(AttentionLayer("layer", 12, D, INNER, H), 4, None, image=True, null_token=null_token)
    frozen = torch.nn.Module()
    frozen.to_q, frozen.to_k = torch.nn.Linear(12, INNER, bias=False), torch.nn.Linear(D, INNER, bias=False)
    frozen.to_v, frozen.to_out = torch.nn.Linear(D, INNER, bias=False), [torch.nn.Linear(INNER, 12)]
    for parameter in loras.parameters():
        torch.nn.init.normal_(parameter)
    return loras.add_to(frozen)


def _subjects(present: Tensor | None = None) -> SubjectEmbeddings:
    tokens = torch.randn(B, K, D, generator=torch.Generator().manual_seed(1))
    present = torch.ones(B, K, dtype=torch.bool) if present is None else present
    return SubjectEmbeddings((), tokens, torch.arange(S).repeat_interleave(N), present)


def _query() -> Tensor:
    return torch.randn(B, H, L, INNER // H, generator=torch.Generator().manual_seed(2))


def _text(weights: LayerWeights) -> KeyValue:
    return text_key_value(weights, torch.randn(B, T, D, generator=torch.Generator().manual_seed(3)))


def _map_request(subjects: SubjectEmbeddings, recording: Recording | None = None) -> MapRequest:
    words = torch.tensor([[1, 4], [6, 0], [2, -1]])
    return MapRequest(words[..., None], _owned(subjects), B, recording or Recording())


def _owned(subjects: SubjectEmbeddings) -> Tensor:
    each = range(int(subjects.owners.max()) + 1)
    return torch.stack([((subjects.owners == s) & subjects.present).float() for s in each], dim=1)  # (B, S, K)


@pytest.fixture(params=[True, False], ids=["null", "no_null"])
def weights(request: pytest.FixtureRequest) -> LayerWeights:
    return _weights(request.param)


def test_strength_zero_is_text_only_exactly(weights: LayerWeights) -> None:
    query, text = _query(), _text(weights)
    image = image_key_value(weights, _subjects(), torch.zeros(B, S))
    assert torch.equal(multimodal_attention(query, text, image, None).output, attend(query, text))
    stronger = image_key_value(weights, _subjects(), torch.ones(B, S))
    assert not torch.allclose(multimodal_attention(query, text, stronger, None).output, attend(query, text))


def test_a_row_without_photos_gets_exactly_nothing(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[1] = False
    subjects, query, text = _subjects(present), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    attended = multimodal_attention(query, text, image, _map_request(subjects))
    assert torch.equal(attended.output[1], attend(query, text)[1])
    assert attended.output.isfinite().all()
    assert not attended.maps["image"][1].any()
    assert not attended.maps["influence"][1].any()
    assert attended.maps["image"][0].any()


def test_gradients_are_finite_with_absent_tokens(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[0, :N], present[1] = False, False
    subjects = _subjects(present)
    subjects.tokens.requires_grad_()
    attended = multimodal_attention(
        _query(), _text(weights), image_key_value(weights, subjects, torch.ones(B, S)), _map_request(subjects)
    )
    loss = attended.output.square().sum() + sum(x.square().sum() for x in attended.maps.values())
    (gradient,) = torch.autograd.grad(loss, subjects.tokens)
    assert gradient.isfinite().all()
    assert not gradient[~present].any()
    assert gradient[present].abs().amin(-1).min() > 0


def test_padding_is_as_if_it_were_not_there(weights: LayerWeights) -> None:
    present = torch.ones(B, K, dtype=torch.bool)
    present[:, N:] = False
    padded, query, text = _subjects(present), _query(), _text(weights)
    alone = SubjectEmbeddings((), padded.tokens[:, :N], padded.owners[:N], present[:, :N])
    outputs = [
        multimodal_attention(query, text, image_key_value(weights, subjects, torch.ones(B, S)), None).output
        for subjects in (padded, alone)
    ]
    assert torch.allclose(*outputs, atol=1e-6)


def test_recording_changes_nothing(weights: LayerWeights) -> None:
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    recorded = multimodal_attention(query, text, image, _map_request(subjects))
    unrecorded = multimodal_attention(query, text, image, None)
    assert unrecorded.maps is None
    assert torch.equal(recorded.output, unrecorded.output)


def test_maps_are_what_they_say(weights: LayerWeights) -> None:
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.tensor([[1.0, 0.5]]).expand(B, -1))
    request = _map_request(subjects, Recording(per_head=True))
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
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    apart, averaged = (
        multimodal_attention(query, text, image, _map_request(subjects, Recording(per_head=per_head))).maps
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


def _part_norm(query: Tensor, image: KeyValue, subject: int) -> Tensor:
    """Norm over all heads of what a subject adds, (B, L)."""
    mine = slice(subject * N, (subject + 1) * N)
    softmax = (query @ image.key.mT / query.shape[-1] ** 0.5).softmax(-1)
    return (softmax[..., mine] @ image.value[:, :, mine]).norm(dim=(1, 3))


def test_only_what_was_asked_for(weights: LayerWeights) -> None:
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    for stream in MAP_KINDS:
        request = _map_request(subjects, Recording(kinds=(stream,)))
        assert list(multimodal_attention(query, text, image, request).maps) == [stream]


def test_other_words_have_maps_of_their_own(weights: LayerWeights) -> None:
    """As a subject's word has one, in every row."""
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    maps = multimodal_attention(query, text, image, _map_request(subjects, Recording(tokens=((5,), (1,))))).maps
    softmax = (query @ text.key.mT / query.shape[-1] ** 0.5).softmax(-1).mean(1)  # (B, L, T)
    assert torch.allclose(maps["words"], softmax[..., [5, 1]].mT, atol=1e-6)
    assert torch.allclose(maps["words"][0, 1], maps["text"][0, 0])  # token 1 is a subject's word in the first row


def test_the_image_term_of_the_last_rows_alone(weights: LayerWeights) -> None:
    """Rows without a photo may be left out, which changes nothing; gradients go through either way."""
    present = torch.ones(B, K, dtype=torch.bool)
    present[0] = False
    subjects, query, text = _subjects(present), _query(), _text(weights)
    rest = SubjectEmbeddings((), subjects.tokens[1:], subjects.owners, present[1:])
    request = replace(_map_request(subjects), rows=2)
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


def test_only_the_last_rows_are_recorded(weights: LayerWeights) -> None:
    subjects, query, text = _subjects(), _query(), _text(weights)
    image = image_key_value(weights, subjects, torch.ones(B, S))
    every = multimodal_attention(query, text, image, _map_request(subjects)).maps
    last = multimodal_attention(query, text, image, replace(_map_request(subjects), rows=1)).maps
    for kind, maps in last.items():
        assert len(maps) == 1
        assert torch.allclose(maps, every[kind][-1:], atol=1e-6)


def test_without_an_image_term_only_the_text_has_a_map(weights: LayerWeights) -> None:
    subjects, query, text = _subjects(), _query(), _text(weights)
    attended = multimodal_attention(query, text, None, _map_request(subjects))
    assert torch.equal(attended.output, attend(query, text))
    assert attended.maps["text"].any()
    assert not attended.maps["image"].any()
    assert not attended.maps["influence"].any()
    assert attended.maps["image"].shape == attended.maps["influence"].shape == (B, S, L)


def test_a_null_token_gives_a_single_subject_a_map_that_is_not_flat() -> None:
    maps = {}
    for null_token in (True, False):
        weights = _weights(null_token)
        subjects = SubjectEmbeddings((), _subjects().tokens[:, :N], torch.zeros(N).long(), torch.ones(B, N).bool())
        image = image_key_value(weights, subjects, torch.ones(B, 1))
        request = replace(_map_request(subjects), words=torch.ones(B, 1).long())
        maps[null_token] = multimodal_attention(_query(), _text(weights), image, request).maps["image"]
    assert torch.allclose(maps[False], torch.ones(B, 1, L))
    assert maps[True].max() < 1
    assert maps[True].std(-1).min() > 0.05


def test_maps_are_float32_and_precise_under_autocast(weights: LayerWeights) -> None:
    subjects, query = _subjects(), _query().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        text, image = _text(weights), image_key_value(weights, subjects, torch.ones(B, S))
        attended = multimodal_attention(query, text, image, _map_request(subjects))
    assert attended.output.dtype == torch.bfloat16
    assert all(x.dtype == torch.float32 for x in attended.maps.values())
    exact = (query.float() @ text.key.float().mT / query.shape[-1] ** 0.5).softmax(-1).mean(1)[0, :, 1]
    assert torch.allclose(attended.maps["text"][0, 0], exact, atol=1e-6)


@pytest.mark.parametrize("kinds", [("text", "image"), ("image",), ("text",)])
@pytest.mark.parametrize("rows", [B, B - 1])
def test_shared_scores_give_the_same_output_maps_and_gradients(
    kinds: tuple[str, ...], rows: int, weights: LayerWeights
) -> None:
    """A subject's photo is padding, another has no word, and the first row may have no image term."""
    present = torch.ones(B, K, dtype=torch.bool)
    present[1, :N] = False
    subjects = _subjects(present)
    query, text = _query().requires_grad_(), _text(weights)
    shown = replace(subjects, tokens=subjects.tokens[-rows:], present=present[-rows:])
    image = image_key_value(weights, shown, torch.full((rows, S), 0.7))
    request = replace(_map_request(subjects, Recording(kinds)), rows=rows)
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
    request = _map_request(_subjects(), Recording(("text", "image")))
    apart = multimodal_attention(_query(), _text(weights), None, request)
    shared = multimodal_attention(_query(), _text(weights), None, replace(request, shared_scores=True))
    torch.testing.assert_close(shared.output, apart.output)
    torch.testing.assert_close(dict(shared.maps), dict(apart.maps))


@pytest.mark.parametrize("recording", [Recording(), Recording(("text",), per_head=True)])
def test_maps_that_one_softmax_does_not_give_are_made_beside_it(recording: Recording, weights: LayerWeights) -> None:
    request = replace(_map_request(_subjects(), recording), shared_scores=True)
    image = image_key_value(weights, _subjects(), torch.ones(B, S))
    maps = multimodal_attention(_query(), _text(weights), image, request).maps
    assert maps.keys() == set(recording.kinds)
    assert maps["text"].ndim == (4 if recording.per_head else 3)


def test_token_maps_are_the_softmax_summed_over_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, tokens, 4, generator=generator) for tokens in (6, 5))
    groups = torch.tensor([[1, 0, 0, 0, 1], [0, 1, 1, 1, 0]]).float().expand(2, -1, -1)
    softmax = (query @ key.mT / 2).softmax(-1)  # (B, H, L, T)
    expected = torch.einsum("bhlt,bgt->bghl", softmax, groups)
    assert torch.allclose(token_maps(query, key, groups, per_head=True), expected, atol=1e-6)
    assert torch.allclose(token_maps(query, key, groups), expected.mean(2), atol=1e-6)


def test_a_concept_joins_each_pixels_softmax_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, tokens, 4, generator=generator) for tokens in (6, 5))
    groups = torch.ones(2, 1, 5)
    concepts = [torch.randn(1, 3, tokens, 4, generator=generator) for tokens in (1, 2)]
    for index, concept in enumerate(concepts):
        both = torch.cat([key, concept.expand(2, -1, -1, -1)], dim=2)
        own = (query @ both.mT / 2).softmax(-1)[..., 5:].sum(-1)  # (B, H, L)
        found = token_maps(query, key, groups, concepts, per_head=True)
        assert torch.allclose(found[:, 1 + index], own, atol=1e-6)
        assert torch.equal(found[:, 0], token_maps(query, key, groups, per_head=True)[:, 0])
        assert torch.allclose(token_maps(query, key, groups, concepts)[:, 1 + index], own.mean(1), atol=1e-6)


def test_pixel_maps_are_the_softmax_of_a_self_attention() -> None:
    query, key = (torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.allclose(pixel_maps(query, key), (query @ key.mT / 2).softmax(-1).mean(1), atol=1e-6)
