"""Scenes drawn at random, and photos of the toys in them."""

from __future__ import annotations

import random
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.toybox.captions import arrangement_of, random_colour, write_caption
from mmdiff_core.toybox.layout import compose, half_width
from mmdiff_core.toybox.places import PLACES as _PLACES
from mmdiff_core.toybox.renderer import Rendered, render
from mmdiff_core.toybox.scene import Caption, PlacedToy, Scene
from mmdiff_core.toybox.toys import ACCESSORIES, NOUNS, Accessory, Toy, make_toy

__all__ = [
    "HELD_OUT",
    "NOUNS",
    "PLACES",
    "UNSEEN_PAIRS",
    "Caption",
    "PlacedToy",
    "Rendered",
    "Scene",
    "Toy",
    "make_toy",
    "random_scene",
    "reference_scene",
    "render",
    "toy_photos",
]

PLACES = tuple(_PLACES)
HELD_OUT = 900_000  # identities with this seed and up are never trained on
_HELD_OUT_COUNT = 100_000
UNSEEN_PAIRS = frozenset({("penguin", "desert"), ("elephant", "snow"), ("boat", "bedroom"), ("frog", "city at night")})

Identities = Literal["train", "held_out"]

_COUNT_WEIGHTS = {1: 42, 2: 48, 3: 10}
_SAME_NOUN = 0.10  # of the pictures of two
_WEARING = 0.15  # of the toys that can


def random_scene(rng: random.Random, subjects: int | None = None, identities: Identities = "train") -> Scene:
    """A scene of one to three toys (drawn when ``subjects`` is None) in a place, with its caption.

    Training scenes have training identities and none of ``UNSEEN_PAIRS`` (noun, place); held-out scenes have unseen
    identities in any place.
    """
    count = subjects or rng.choices(tuple(_COUNT_WEIGHTS), tuple(_COUNT_WEIGHTS.values()))[0]
    place = rng.choice(PLACES)
    toys = [make_toy(noun, _identity(rng, identities)) for noun in _nouns(rng, count, place, identities)]
    wearing = [_wearing(rng, toy) for toy in toys]
    arrangement = arrangement_of(rng, count)
    caption = write_caption(rng, toys, wearing, place, arrangement)
    return Scene(compose(rng, toys, wearing, arrangement), place, rng.getrandbits(31), rng.uniform(6, 16), caption)


def reference_scene(rng: random.Random, toy: Toy, apart_from: Scene | None = None) -> Scene:
    """A "photo" of the same toy alone: another view, place, light, crop and scale than in ``apart_from``."""
    taken = {(toy.noun, place) for _, place in UNSEEN_PAIRS} & UNSEEN_PAIRS
    banned = {place for _, place in taken} | ({apart_from.place} if apart_from else set())
    place = rng.choice([p for p in PLACES if p not in banned])
    yaw = rng.uniform(-65, 65)
    for placed in apart_from.toys if apart_from else ():
        if placed.toy == toy and abs(placed.yaw - yaw) < 25:
            yaw += 40 if yaw < placed.yaw + 25 and placed.yaw < 0 else -40
    height = rng.uniform(0.62, 0.88) * min(1.0, 0.45 / half_width(toy, yaw))
    if rng.random() < 0.15:  # a close-up that cuts off the feet
        height *= 1.25
    room = max(0.0, 0.48 - half_width(toy, yaw) * height)
    tall = height * toy.figure.height
    foot = max(min(0.47, tall - 0.47 + rng.uniform(0, 0.08)), tall / 2 + rng.uniform(-0.02, 0.06))
    placed = PlacedToy(toy, rng.uniform(-room, room), foot, height, yaw)
    caption = write_caption(rng, [toy], [None], place, "beside")
    return Scene((placed,), place, rng.getrandbits(31), rng.uniform(4, 20), caption)


def toy_photos(noun: str, seed: int, views: int = 4, size: int = 256) -> list[Image.Image]:
    """Photos (size, size) of one toy from several sides, each in another place; raises SettingsError on a bad noun."""
    toy = make_toy(noun, seed)
    rng = random.Random(f"photos:{noun}:{seed}")
    places = rng.sample(PLACES, len(PLACES))
    scenes = []
    for i in range(views):
        yaw = (-50 + 100 * i / (views - 1) if views > 1 else 20) + rng.uniform(-6, 6)
        height = 0.80 * min(1.0, 0.46 / half_width(toy, yaw) / 0.80) / max(toy.figure.height, 0.7)
        foot = height * toy.figure.height / 2 + 0.04
        caption = write_caption(rng, [toy], [None], places[i % len(places)], "beside")
        placed = PlacedToy(toy, 0.0, foot, height, yaw)
        scenes.append(Scene((placed,), places[i % len(places)], rng.getrandbits(31), 10.0, caption))
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in to_bytes(render(scenes, size).images)]


def to_bytes(images: Tensor) -> Tensor:
    """Pictures in [0, 1] as uint8."""
    return images.mul(255).round_().to(torch.uint8)


def _identity(rng: random.Random, identities: Identities) -> int:
    return rng.randrange(HELD_OUT) if identities == "train" else HELD_OUT + rng.randrange(_HELD_OUT_COUNT)


def _nouns(rng: random.Random, count: int, place: str, identities: Identities) -> list[str]:
    """Different nouns, or now and then two of the same."""
    choice = [noun for noun in NOUNS if identities == "held_out" or (noun, place) not in UNSEEN_PAIRS]
    if count == 2 and rng.random() < _SAME_NOUN:
        return [rng.choice(choice)] * 2
    return rng.sample(choice, count)


def _wearing(rng: random.Random, toy: Toy) -> Accessory | None:
    if not toy.can_wear or rng.random() >= _WEARING:
        return None
    return Accessory(rng.choice(ACCESSORIES), random_colour(rng))
