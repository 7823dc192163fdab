"""Attributes of identities: three colours well apart, and every pattern."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from mmdiff_core.toyworld import CLASS_NAMES
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.colours import COLOURS, FIXED, NEVER, PATTERNS, draw_attributes, jitter


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_every_identity_has_three_well_separated_colours(class_name: str) -> None:
    for seed in range(50):
        attributes = make_toy(class_name, seed).attributes
        assert len(set(attributes.colour_names)) == 3
        a, b, c = (torch.tensor(COLOURS[name]) for name in attributes.colour_names)
        assert min((a - b).norm(), (a - c).norm(), (b - c).norm()) > 0.5
    assert {make_toy(class_name, seed).attributes.pattern for seed in range(60)} == set(PATTERNS)


def test_vivid_colours_are_drawn_twice_as_often() -> None:
    mains = Counter(draw_attributes(random.Random(seed)).colour_names[0] for seed in range(3000))
    assert set(mains) == set(COLOURS)
    quiet = sum(mains[name] for name in ("brown", "black", "white", "grey"))
    assert 0.15 < quiet / 3000 < 0.25  # 4 * 0.5 of 4 * 0.5 + 8


def test_a_pattern_has_the_numbers_that_it_needs() -> None:
    drawn = {attributes.pattern: attributes for attributes in (draw_attributes(random.Random(k)) for k in range(60))}
    assert drawn.keys() == set(PATTERNS)
    for pattern, attributes in drawn.items():
        assert (attributes.dot_size < NEVER) == (pattern == "dots")
        assert (attributes.waves.level < NEVER) == (pattern in ("stripes", "patches", "two-tone"))
    assert all(any(wave) for wave in drawn["patches"].waves.frequencies)
    assert not any(drawn["stripes"].waves.frequencies[1])


def test_roles_have_their_colour() -> None:
    attributes = draw_attributes(random.Random(3))
    main, second, accent = attributes.colours
    assert [attributes.paint(role)[0] for role in ("main", "plain", "second", "accent")] == [main, main, second, accent]
    assert attributes.paint("main")[1] == attributes.gloss
    assert not attributes.PAINTS & FIXED.keys()


def test_jitter_stays_near_and_in_range() -> None:
    rng = random.Random(0)
    for _ in range(100):
        varied = jitter((0.0, 0.5, 1.0), rng, 0.1)
        assert all(0 <= x <= 1 and abs(x - c) <= 0.1 for x, c in zip(varied, (0.0, 0.5, 1.0), strict=True))
