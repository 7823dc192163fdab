"""SE-Refiner: a residual on the subject tokens that reads the patches as a set."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor

from mmdiff_core.nn.config import ResamplerShape
from mmdiff_core.nn.refiner import RefinerAttention, Resampler, SubjectRefiner

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


# ---------------------------------------------------------------- IP-Adapter's relatives

SHAPE = ResamplerShape(width=20, heads=3, head_dim=8, depth=2, hidden=40)


@pytest.fixture
def resampler() -> Resampler:
    torch.manual_seed(0)
    return Resampler(N, WIDTH, PATCH, SHAPE).eval().requires_grad_(False)


def test_a_resampler_makes_tokens_of_patches_alone(resampler: Resampler, patches: Tensor) -> None:
    tokens = resampler(patches[0])
    assert tokens.shape == (3, N, WIDTH)
    assert torch.allclose(tokens[2], resampler(patches[0, 2:])[0], atol=1e-5), "every photo by itself"
    assert tokens.mean(-1).abs().max() < 1e-5, "normalised"
    assert torch.allclose(resampler(patches[0].flip(-2)), tokens, atol=1e-5), "the patches are a set"
    assert (tokens[0] - tokens[1]).abs().max() > 1e-3, "the patches count"


def test_a_resampler_computes_what_diffusers_computes(resampler: Resampler, patches: Tensor) -> None:
    theirs = IPAdapterPlusImageProjection(
        embed_dims=PATCH, output_dims=WIDTH, hidden_dims=SHAPE.width, depth=SHAPE.depth, dim_head=SHAPE.head_dim,
        heads=SHAPE.heads, num_queries=N, ffn_ratio=SHAPE.hidden / SHAPE.width,
    )  # fmt: skip
    ours = resampler.state_dict()
    values = {"latents": ours["queries"]}
    names = {"patches": "proj_in", "output": "proj_out", "norm": "norm_out"}
    values |= {f"{theirs}.{x}": ours[f"{mine}.{x}"] for mine, theirs in names.items() for x in ("weight", "bias")}
    for layer in range(SHAPE.depth):
        at, key_value = f"layers.{layer}.", ours[f"layers.{layer}.attention.key_value.weight"].chunk(2)
        norms = {"attention.patch_norm": "ln0", "attention.token_norm": "ln1", "norm": "ff.0"}
        values |= {f"{at}{n}.{x}": ours[f"{at}{mine}.{x}"] for mine, n in norms.items() for x in ("weight", "bias")}
        values |= {f"{at}attn.to_{x}.weight": weight for x, weight in zip("kv", key_value, strict=True)}
        matrices = {"attention.query": "attn.to_q", "attention.output": "attn.to_out.0", "hidden": "ff.1.net.0.proj"}
        matrices["output"] = "ff.1.net.2"
        values |= {f"{at}{n}.weight": ours[f"{at}{mine}.weight"] for mine, n in matrices.items()}
    theirs.load_state_dict(values)
    torch.testing.assert_close(resampler(patches[0]), theirs(patches[0]), atol=1e-5, rtol=1e-5)


def test_without_a_residual_the_details_are_the_tokens(tokens: Tensor, patches: Tensor) -> None:
    torch.manual_seed(0)
    refiner = SubjectRefiner(WIDTH, PATCH, depth=2, head_dim=12, hidden=17, residual=False)
    assert refiner.layers[0].hidden.out_features == 17
    assert refiner(tokens, patches).mean(-1).abs().max() < 1e-5, "normalised"
    refiner.residual = True
    with_residual = refiner(tokens, patches)
    refiner.residual = False
    assert torch.allclose(with_residual - tokens, refiner(tokens, patches), atol=1e-5)
