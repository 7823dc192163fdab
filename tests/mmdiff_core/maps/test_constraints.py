"""The attention-map constraints reward attention in a subject's own region, and refuse to train nothing."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.maps.constraints import attention_constraint, choose_layers
from mmdiff_core.nn.records import LayerMaps


@pytest.fixture
def masks() -> torch.Tensor:
    """Subject 0 has the left half, subject 1 the right half of an 8x8 picture."""
    masks = torch.zeros(1, 2, 8, 8)
    masks[:, 0, :, :4] = 1
    masks[:, 1, :, 4:] = 1
    return masks


def layer(attention: torch.Tensor) -> LayerMaps:
    return LayerMaps("layer", tuple(attention.shape[-2:]), {"text": attention.requires_grad_()})


PRESENT = torch.ones(1, 2, dtype=torch.bool)


def test_own_region_only_is_minus_one(masks: torch.Tensor) -> None:
    loss = attention_constraint([layer(masks.clone())], "text", masks, PRESENT)
    assert loss.item() == pytest.approx(-1.0)


def test_swapped_regions_are_plus_one(masks: torch.Tensor) -> None:
    loss = attention_constraint([layer(masks.flip(1).clone())], "text", masks, PRESENT)
    assert loss.item() == pytest.approx(1.0)


def test_flat_map_is_zero_whatever_the_areas() -> None:
    masks = torch.zeros(1, 1, 8, 8)
    masks[..., :2, :3] = 1
    loss = attention_constraint([layer(torch.full((1, 1, 8, 8), 0.3))], "text", masks, PRESENT[:, :1])
    assert loss.item() == pytest.approx(0.0, abs=1e-6)


def test_gradient_moves_attention_into_the_region(masks: torch.Tensor) -> None:
    attention = torch.full((1, 2, 4, 4), 0.25)
    attention_constraint([layer(attention)], "text", masks, PRESENT).backward()
    assert attention.grad is not None
    assert (attention.grad[0, 0, :, :2] < 0).all()
    assert (attention.grad[0, 0, :, 2:] > 0).all()


def test_absent_subject_does_not_count(masks: torch.Tensor) -> None:
    attention = torch.stack([masks[:, 0], masks[:, 0]], dim=1)  # subject 1 attends to the region of subject 0
    only_first = torch.tensor([[True, False]])
    assert attention_constraint([layer(attention)], "text", masks, only_first).item() == pytest.approx(-1.0)


def test_non_square_layers(masks: torch.Tensor) -> None:
    attention = torch.zeros(1, 2, 4, 6)
    attention[:, 0, :, :3] = 1
    attention[:, 1, :, 3:] = 1
    assert attention_constraint([layer(attention)], "text", masks, PRESENT).item() == pytest.approx(-1.0)


def test_map_without_gradient_raises(masks: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="no gradient"):
        attention_constraint([LayerMaps("layer", (8, 8), {"text": masks.clone()})], "text", masks, PRESENT)


def test_layers_are_chosen_by_their_resolution() -> None:
    maps = [LayerMaps(name, size, {}) for name, size in (("a", (8, 8)), ("b", (4, 4)), ("c", (2, 2)), ("d", (8, 8)))]
    chosen = {which: [layer.layer for layer in choose_layers(maps, which)] for which in ("all", "fine", "coarse")}
    assert chosen == {"all": ["a", "b", "c", "d"], "fine": ["a", "d"], "coarse": ["b", "c"]}


def test_nothing_recorded_raises(masks: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="nothing to constrain"):
        attention_constraint([], "image", masks, PRESENT)
