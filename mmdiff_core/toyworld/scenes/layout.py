"""Where toys stand, so that the image shows what its caption says."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmdiff_core.toyworld.bodies.toys import Accessory, Toy
from mmdiff_core.toyworld.scenes.captions import Arrangement
from mmdiff_core.toyworld.scenes.scene import PlacedToy

_HEIGHTS = {1: (0.56, 0.74), 2: (0.48, 0.62), 3: (0.36, 0.46)}  # of a toy, as a fraction of the image's height
_ROOM = {1: 0.88, 2: 0.98, 3: 0.98}  # of the image's width that toys may fill
_STEP_BACK = 0.10  # how much higher the foot of a toy behind another is
_SMALLER_BEHIND = 0.85


@dataclass(frozen=True)
class _Spot:
    """A toy before it has a position."""

    toy: Toy
    wearing: Accessory | None
    yaw: float
    height: float
    behind: bool

    @property
    def width(self) -> float:
        return self.height * half_width(self.toy, self.yaw) * 2


def compose(
    rng: random.Random, toys: Sequence[Toy], wearing: Sequence[Accessory | None], arrangement: Arrangement
) -> tuple[PlacedToy, ...]:
    """Place toys side by side in the order of the arrangement, all of them well visible."""
    low, high = _HEIGHTS[len(toys)]
    shared = rng.uniform(low, high)
    back = {"front": 1, "behind": 0}.get(arrangement)
    spots = []
    for i, toy in enumerate(toys):
        yaw, behind = rng.uniform(-40, 40), i == back
        height = shared * rng.uniform(0.92, 1.08) * _evened(toy, yaw) * (_SMALLER_BEHIND if behind else 1)
        spots.append(_Spot(toy, wearing[i], yaw, min(height, high * 1.08 / toy.figure.height), behind))
    order = _order(rng, len(toys), arrangement)
    overlap = 0.8 if back is not None else 0.95
    xs, scale = _columns(rng, [spots[i].width * overlap for i in order])
    spots = [replace(spot, height=spot.height * scale) for spot in spots]
    tallest = max(spot.height * _top(spot) - _STEP_BACK * spot.behind for spot in spots)
    y = rng.uniform(min(max(0.26, tallest - 0.47), 0.40), 0.42)
    return tuple(
        PlacedToy(spot.toy, xs[order.index(i)], foot + rng.uniform(-0.015, 0.015), spot.height, spot.yaw, spot.wearing)
        for i, (spot, foot) in enumerate((spot, y - _STEP_BACK * spot.behind) for spot in spots)
    )


def half_width(toy: Toy, yaw: float) -> float:
    """Estimate how far a toy one unit tall reaches to either side when turned."""
    turn = math.radians(yaw)
    return math.hypot(toy.figure.wide * math.cos(turn), toy.figure.deep * math.sin(turn))


def _evened(toy: Toy, yaw: float) -> float:
    """Return a factor that enlarges slim toys and shrinks bulky ones, so that all cover about the same area."""
    bulk = math.sqrt(toy.figure.height * 2 * half_width(toy, yaw))
    return min(1.2, max(0.92, 0.8 / bulk)) / max(toy.figure.height, 0.8)


def _order(rng: random.Random, count: int, arrangement: Arrangement) -> list[int]:
    """Return the toys' indices from left to right."""
    if arrangement == "left":
        return [0, 1]
    if arrangement == "right":
        return [1, 0]
    if arrangement == "between":
        return rng.choice(([1, 0, 2], [2, 0, 1]))
    return rng.sample(range(count), count)


def _columns(rng: random.Random, widths: Sequence[float]) -> tuple[list[float], float]:
    """Distribute the free room at random; return the middles from left to right and a factor that shrinks the toys."""
    scale = min(1.0, _ROOM[len(widths)] / sum(widths))
    free = 1 - scale * sum(widths)
    shares = [rng.uniform(0.6, 1.4) for _ in range(len(widths) + 1)]
    left, xs = -0.5, []
    for width, share in zip(widths, shares, strict=False):
        left += free * share / sum(shares)
        xs.append(left + width * scale / 2)
        left += width * scale
    return xs, scale


def _top(spot: _Spot) -> float:
    """Return the height of a toy with its headgear, in its own units."""
    worn = 0.16 if spot.wearing is not None and spot.wearing.kind in ("hat", "crown") else 0.0
    return spot.toy.figure.height + worn
