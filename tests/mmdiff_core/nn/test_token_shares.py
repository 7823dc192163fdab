"""Shares of attention against a softmax that is written out."""

from __future__ import annotations

import torch

from mmdiff_core.nn.token_shares import pixel_maps, token_maps


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
