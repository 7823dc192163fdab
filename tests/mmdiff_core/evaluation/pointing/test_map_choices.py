"""Which map a choice is, from records that are made by hand: two layers, four steps, two heads, one subject."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdiff_core.evaluation.pointing.map_choices import QUARTERS, MapChoice, chosen_map, map_choices
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.nn.config import AttentionLayer

LAYERS = {"down": (2, 2), "up": (4, 4)}
LATENTS = (8, 8)


@pytest.fixture(scope="module")
def maps() -> AttentionMaps:
    """Return maps of constants: 100 for the layer up, 10 a step, 1 a head; the other word has half of it."""
    records = []
    for step in range(4):
        for number, (layer, size) in enumerate(LAYERS.items()):
            values = torch.stack([torch.full(size, 100.0 * number + 10 * step + head) for head in range(2)])
            kinds = {"text": values[None], "image": values[None] + 0.5, "words": values[None] / 2}
            records.append(StepMaps(step, layer, size, kinds))
    return AttentionMaps(("cat",), tuple(records), ("beach",))


@pytest.mark.parametrize(
    ("choice", "value", "size"),
    [
        (MapChoice("text"), 65.5, (4, 4)),
        (MapChoice("text", finest=True), 115.5, (4, 4)),
        (MapChoice("text", "down"), 15.5, (2, 2)),
        (MapChoice("text", "up", quarter=3), 130.5, (4, 4)),
        (MapChoice("text", quarter=0), 50.5, (4, 4)),
        (MapChoice("text", "down", head=1), 16.0, (2, 2)),
        (MapChoice("image", "down", head=1), 16.5, (2, 2)),
        (MapChoice("contrast"), 65.5 / 4, (4, 4)),  # less the mean of the whole and the half
        (MapChoice("daam"), 65.5, LATENTS),
    ],
)
def test_a_choice_is_an_average_over_what_it_leaves_open(
    maps: AttentionMaps, choice: MapChoice, value: float, size: tuple[int, int]
) -> None:
    chosen = chosen_map(maps, 0, choice, LATENTS)
    assert chosen.shape == size
    assert np.allclose(chosen, value, atol=0.05)


def test_daam_enlarges_every_head_before_it_averages() -> None:
    """One head has a peak, which bicubic enlargement surrounds by values below zero: those are cut off."""
    peak = torch.zeros(1, 2, 4, 4)
    peak[0, 0, 1, 1] = 1.0
    maps = AttentionMaps(("cat",), (StepMaps(0, "up", (4, 4), {"text": peak}),))
    drawn = chosen_map(maps, 0, MapChoice("daam"), LATENTS)
    assert drawn.min() == 0.0
    assert 0.25 < drawn.max() < 0.75  # the mean of a head with a peak and an empty one


def test_every_choice_is_measured_once() -> None:
    layers = [AttentionLayer(path, 8, 8, 8, heads) for path, heads in (("a", 2), ("b", 3))]
    choices = map_choices(layers)
    assert len(choices) == len(set(choices)) == 4 * (2 * (1 + QUARTERS) + 2 * (1 + QUARTERS) + 2 + 3) + 1
    assert {choice.layer for choice in choices if choice.head == 2} == {"b"}
