"""SE-Refiner: a residual on the subject tokens that reads the patches as a set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmdiff_core.nn.refiner import RefinerAttention, SubjectRefiner

WIDTH, PATCH, N, M = 24, 28, 4, 9


@pytest.fixture
def refiner() -> SubjectRefiner:
    torch.manual_seed(0)
    return SubjectRefiner(WIDTH, PATCH, depth=2, head_dim=12).eval().requires_grad_(False)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(2, 3, N, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def patches() -> Tensor:
    return torch.randn(2, 3, M, PATCH, generator=torch.Generator().manual_seed(2))


def test_every_photo_is_refined_by_itself(refiner: SubjectRefiner, tokens: Tensor, patches: Tensor) -> None:
    refined = refiner(tokens, patches)
    assert refined.shape == tokens.shape
    assert torch.allclose(refined[1, 2], refiner(tokens[1:, 2], patches[1:, 2])[0], atol=1e-5)


def test_the_details_are_added_to_the_tokens(refiner: SubjectRefiner, tokens: Tensor, patches: Tensor) -> None:
    details = refiner(tokens, patches) - tokens
    assert details.mean(-1).abs().max() < 1e-5, "normalised"
    assert torch.allclose(details.var(-1, unbiased=False), torch.ones(2, 3, N), atol=1e-2)
    refiner.norm.weight.zero_()
    assert torch.equal(refiner(tokens, patches), tokens)


def test_the_patches_count(refiner: SubjectRefiner, tokens: Tensor, patches: Tensor) -> None:
    other = patches.clone()
    other[0, 0, 0] += 3
    change = (refiner(tokens, other) - refiner(tokens, patches)).abs()
    assert change[0, 0].max() > 1e-3
    assert change[0, 1:].max() < 1e-5


def test_the_order_of_the_patches_does_not_matter(refiner: SubjectRefiner, tokens: Tensor, patches: Tensor) -> None:
    assert torch.allclose(refiner(tokens, patches.flip(-2)), refiner(tokens, patches), atol=1e-5)


def test_tokens_look_at_each_other_in_any_order(refiner: SubjectRefiner, tokens: Tensor, patches: Tensor) -> None:
    refined = refiner(tokens, patches)
    assert torch.allclose(refiner(tokens.flip(-2), patches), refined.flip(-2), atol=1e-5)
    other = tokens.clone()
    other[..., 0, :] = -other[..., 0, :]
    assert (refiner(other, patches) - refined)[..., 1:, :].abs().max() > 1e-3


@pytest.mark.parametrize(("width", "heads"), [(24, 2), (35, 2), (8, 1)])
def test_as_many_heads_as_fit(width: int, heads: int) -> None:
    attention = RefinerAttention(width, head_dim=12)
    assert attention.heads == heads
    assert attention.query.out_features == 12 * heads
    assert RefinerAttention(width, head_dim=12, heads=3).heads == 3
