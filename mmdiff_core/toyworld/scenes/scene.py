"""The records of a picture before it is drawn. A scene says everything; rendering adds nothing to it."""

from __future__ import annotations

from dataclasses import dataclass

from mmdiff_core.toyworld.bodies.toys import Accessory, Toy


@dataclass(frozen=True)
class PlacedToy:
    """A toy in a picture.

    ``x``: its middle as a fraction of the picture's width from the centre. ``y`` (downwards from the centre),
    ``height`` (of a toy one unit tall): fractions of the picture's shorter side. ``yaw`` degrees: positive shows more
    of its right-hand side. Lower toys are nearer.
    """

    toy: Toy
    x: float
    y: float
    height: float
    yaw: float
    wearing: Accessory | None = None


@dataclass(frozen=True)
class Caption:
    """What a person would write. ``text`` names the toys by noun only; ``detailed`` describes them in words too.

    ``names[i]`` are the words that stand for toy i in both; the n-th toy of a name is its n-th occurrence.
    """

    text: str
    names: tuple[str, ...]
    detailed: str


@dataclass(frozen=True)
class Scene:
    """One picture. ``tilt``: degrees by which the camera looks down; ``style``: one of ``styles.STYLES``."""

    toys: tuple[PlacedToy, ...]
    place: str
    place_seed: int
    tilt: float
    caption: Caption
    style: str = "photo"
