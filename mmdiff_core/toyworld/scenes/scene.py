"""The records that describe an image completely before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass

from mmdiff_core.toyworld.bodies.toys import Accessory, Toy


@dataclass(frozen=True)
class PlacedToy:
    """A toy in an image.

    ``x`` is its middle, as a fraction of the image's width from the centre. ``y`` (downwards from the centre) and
    ``height`` (of a toy one unit tall) are fractions of the shorter side. A positive ``yaw`` (degrees) shows more of
    the toy's right-hand side. Lower toys are nearer.
    """

    toy: Toy
    x: float
    y: float
    height: float
    yaw: float
    wearing: Accessory | None = None


@dataclass(frozen=True)
class Caption:
    """What a person would write. ``text`` names the toys by class; ``detailed`` also describes their attributes.

    ``names[i]`` are the words for toy i in both texts. The n-th toy with a name is its n-th occurrence.
    """

    text: str
    names: tuple[str, ...]
    detailed: str


@dataclass(frozen=True)
class Scene:
    """One image. ``tilt``: degrees by which the camera looks down; ``style``: one of ``styles.STYLES``."""

    toys: tuple[PlacedToy, ...]
    background: str
    background_seed: int
    tilt: float
    caption: Caption
    style: str = "photo"
