"""The toy world: rendered toys of unlimited identities, with exact masks and captions.

A class ("cat") and a seed make an identity: a toy whose shape, colours and pattern never change.
``bodies`` says what toys look like, ``scenes`` composes them, ``render`` draws the result.
"""

from mmdiff_core.toyworld.bodies.toys import CLASS_NAMES, make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.backgrounds import BACKGROUND_NAMES
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, random_scene, reference_scene, toy_photos
from mmdiff_core.toyworld.scenes.scene import Caption, PlacedToy, Scene

__all__ = [
    "BACKGROUND_NAMES",
    "CLASS_NAMES",
    "HELD_OUT",
    "Caption",
    "PlacedToy",
    "Scene",
    "make_toy",
    "random_scene",
    "reference_scene",
    "render",
    "toy_photos",
]
