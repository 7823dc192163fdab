"""The attention-map constraints reward attention in a subject's own region, and refuse to train nothing."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.maps.constraints import attention_constraint, choose_layers, constraint_losses
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


def random_batch() -> tuple[list[LayerMaps], torch.Tensor, torch.Tensor]:
    """Two layers of three samples with two, one and no subject; the mask of one subject vanishes in the small layer."""
    generator = torch.Generator().manual_seed(0)
    maps = [
        LayerMaps(
            name,
            size,
            {kind: torch.rand(3, 2, *size, generator=generator).requires_grad_() for kind in ("text", "image")},
        )
        for name, size in (("a", (8, 8)), ("b", (2, 4)))
    ]
    masks = (torch.rand(3, 2, 8, 8, generator=generator) > 0.6).float()
    masks[0, 1] = 0
    return maps, masks, torch.tensor([[True, True], [True, False], [False, False]])


def by_hand(maps: list[LayerMaps], kind: str, masks: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """The paper's formula for each sample, subject and layer in turn, averaged over what counts."""
    layers = []
    for layer in maps:
        differences = []
        for row, s in counts.nonzero().tolist():
            inside = torch.nn.functional.adaptive_avg_pool2d(masks[row, s][None, None], layer.size)[0, 0]
            seen, outside = layer.kinds[kind][row, s], 1 - inside
            if inside.max() > 0:
                differences.append((seen * outside).sum() / outside.sum() - (seen * inside).sum() / inside.sum())
        layers.append(torch.stack(differences).mean() if differences else torch.zeros(()))
    return torch.stack(layers).mean()


def test_over_the_batch_and_per_sample() -> None:
    maps, masks, present = random_batch()
    for kind in ("text", "image"):
        whole = attention_constraint(maps, kind, masks, present)
        torch.testing.assert_close(whole, by_hand(maps, kind, masks, present))
        rows = [by_hand(maps, kind, masks, present & (torch.arange(3) == row)[:, None]) for row in range(3)]
        each = attention_constraint(maps, kind, masks, present, per_sample=True)
        torch.testing.assert_close(each, torch.stack(rows).mean())
        assert not torch.isclose(whole, each)


def test_losses_are_weighted_and_a_kind_without_weight_is_left_out() -> None:
    maps, masks, present = random_batch()
    alone = present & torch.tensor([True, False])
    losses = constraint_losses(maps, {"text": 0.5, "image": 2.0}, masks, {"text": alone, "image": present})
    torch.testing.assert_close(losses["text_map"], 0.5 * attention_constraint(maps, "text", masks, alone))
    torch.testing.assert_close(losses["image_map"], 2 * attention_constraint(maps, "image", masks, present))
    assert constraint_losses(maps, {"text": 0.5, "image": 0.0}, masks, present).keys() == {"text_map"}


def test_layers_without_the_kind_do_not_count() -> None:
    maps, masks, present = random_batch()
    other = LayerMaps("c", (4, 4), {"text": torch.rand(3, 2, 4, 4).requires_grad_()})
    assert torch.equal(
        attention_constraint([*maps, other], "image", masks, present),
        attention_constraint(maps, "image", masks, present),
    )
