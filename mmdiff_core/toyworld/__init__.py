"""Toybox: a rendered world of toys with unlimited identities, exact masks and captions (see ``dataset``)."""

from mmdiff_core.toyworld.scenes.random_scenes import (
    HELD_OUT,
    NOUNS,
    PLACES,
    make_toy,
    random_scene,
    reference_scene,
    render,
    toy_photos,
)
from mmdiff_core.toyworld.scenes.scene import Caption, PlacedToy, Scene

__all__ = [
    "HELD_OUT",
    "NOUNS",
    "PLACES",
    "Caption",
    "PlacedToy",
    "Scene",
    "make_toy",
    "random_scene",
    "reference_scene",
    "render",
    "toy_photos",
]
