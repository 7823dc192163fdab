"""Checks of toys' bodies that hold for every class."""

from __future__ import annotations

import random
from collections.abc import Callable

from mmdiff_core.toyworld.bodies.solids import Builder, Solid, Vec
from mmdiff_core.toyworld.render.colours import draw_attributes

AXES: tuple[Vec, Vec, Vec] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def build(function: Callable[[Builder, random.Random], None], seed: int = 0) -> Builder:
    """Build the body of an identity."""
    rng = random.Random(seed)
    builder = Builder(draw_attributes(rng))
    function(builder, rng)
    return builder


def floating(solids: list[Solid]) -> list[Solid]:
    """Return the solids that no chain of touching bounding boxes connects to the first."""
    boxes = [[(s.centre[k] - s.reach(AXES[k]), s.centre[k] + s.reach(AXES[k])) for k in range(3)] for s in solids]
    reached, frontier = {0}, [0]
    while frontier:
        here = frontier.pop()
        touching = {
            k
            for k, other in enumerate(boxes)
            if all(a[0] <= b[1] and b[0] <= a[1] for a, b in zip(boxes[here], other, strict=True))
        }
        frontier += touching - reached
        reached |= touching
    return [solid for k, solid in enumerate(solids) if k not in reached]
