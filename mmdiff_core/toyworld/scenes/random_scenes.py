"""Scenes drawn at random, and photos of the toys in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld.bodies.toys import NOUNS, Accessory, Toy, make_toy
from mmdiff_core.toyworld.render.renderer import Rendered, render
from mmdiff_core.toyworld.render.styles import PHOTO, STYLES
from mmdiff_core.toyworld.scenes.backgrounds import PLACES as _PLACES
from mmdiff_core.toyworld.scenes.captions import arrangement_of, random_colour, write_caption
from mmdiff_core.toyworld.scenes.layout import compose, half_width
from mmdiff_core.toyworld.scenes.scene import Caption, PlacedToy, Scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary

__all__ = [
    "HELD_OUT",
    "NOUNS",
    "PLACES",
    "STYLES",
    "UNSEEN_PAIRS",
    "UNSEEN_STYLED",
    "Caption",
    "PlacedToy",
    "Rendered",
    "Scene",
    "Toy",
    "make_toy",
    "random_scene",
    "reference_scene",
    "render",
    "scene_of",
    "toy_photos",
]

PLACES = tuple(_PLACES)
HELD_OUT = 900_000  # identities with this seed and up are never trained on
_HELD_OUT_COUNT = 100_000

# Never in a training scene: these pairs of noun and place in any style, and these triples of noun, place and style.
UNSEEN_PAIRS = frozenset(
    {
        *(("penguin", "desert"), ("elephant", "snow"), ("boat", "bedroom"), ("frog", "city at night")),
        *(("owl", "under water"), ("giraffe", "space"), ("train", "forest"), ("teapot", "volcano")),
        *(("cat", "stage"), ("robot", "kitchen"), ("dinosaur", "sunset"), ("car", "autumn")),
    }
)
UNSEEN_STYLED = frozenset(
    {
        *(("dog", "beach", "watercolour"), ("rocket", "space", "watercolour"), ("turtle", "meadow", "watercolour")),
        *(
            ("rabbit", "meadow", "pencil sketch"),
            ("lion", "desert", "pencil sketch"),
            ("duck", "sunset", "pencil sketch"),
        ),
        *(("bear", "snow", "pixel art"), ("airplane", "autumn", "pixel art"), ("fish", "under water", "pixel art")),
    }
)

Identities = Literal["train", "held_out"]

_COUNT_WEIGHTS = {1: 42, 2: 48, 3: 10}
_SAME_NOUN = 0.10  # of the pictures of two
_WEARING = 0.15  # of the toys that can
_PHOTOS = 0.4  # of the pictures, where there are other styles


def random_scene(
    rng: random.Random,
    subjects: int | None = None,
    identities: Identities = "train",
    vocabulary: Vocabulary = WHOLE_WORLD,
) -> Scene:
    """A scene of one to three toys (drawn when ``subjects`` is None) in a place and a style, with its caption.

    Training scenes have training identities, none of ``UNSEEN_PAIRS`` (noun, place) and none of ``UNSEEN_STYLED``
    (noun, place, style); held-out scenes have unseen identities in any place and style. Raises SettingsError where the
    vocabulary has too few nouns for that.
    """
    count = subjects or rng.choices(tuple(_COUNT_WEIGHTS), tuple(_COUNT_WEIGHTS.values()))[0]
    place = rng.choice(vocabulary.places)
    style = _style(rng, vocabulary)
    nouns = [noun for noun in vocabulary.nouns if identities == "held_out" or not unseen(noun, place, style)]
    if len(nouns) < (subjects or 1):
        raise SettingsError(
            f"A picture of {subjects or 1} toys ({place}, {style}) was asked for, but the vocabulary has "
            f"{len(nouns)} nouns for it: give it more."
        )
    count = min(count, len(nouns))
    toys = [make_toy(noun, _identity(rng, identities)) for noun in _drawn(rng, nouns, count)]
    return scene_of(rng, toys, place, style, vocabulary)


def scene_of(
    rng: random.Random, toys: Sequence[Toy], place: str, style: str = PHOTO, vocabulary: Vocabulary = WHOLE_WORLD
) -> Scene:
    """A scene of these toys: what they wear, where they stand and its caption are drawn at random."""
    wearing = [_wearing(rng, toy, vocabulary) for toy in toys]
    arrangement = arrangement_of(rng, len(toys))
    caption = write_caption(rng, toys, wearing, place, arrangement, style)
    placed = compose(rng, toys, wearing, arrangement)
    return Scene(placed, place, rng.getrandbits(31), rng.uniform(6, 16), caption, style)


def unseen(noun: str, place: str, style: str) -> bool:
    """Whether a noun in a place and a style is never in a training scene."""
    return (noun, place) in UNSEEN_PAIRS or (noun, place, style) in UNSEEN_STYLED


def reference_scene(
    rng: random.Random, toy: Toy, apart_from: Scene | None = None, vocabulary: Vocabulary = WHOLE_WORLD
) -> Scene:
    """A "photo" of the same toy alone: another view, place, light, crop and scale than in ``apart_from``."""
    free = [p for p in vocabulary.places if not unseen(toy.noun, p, PHOTO)]
    elsewhere = [p for p in free if apart_from is None or p != apart_from.place]
    place = rng.choice(elsewhere or free or vocabulary.places)
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
    """Photos (size, size) of one toy from several sides, each in another place; raises SettingsError on a bad noun.

    The places are those that all weights know.
    """
    toy = make_toy(noun, seed)
    rng = random.Random(f"photos:{noun}:{seed}")
    places = rng.sample(FIRST_WORLD.places, len(FIRST_WORLD.places))
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


def _style(rng: random.Random, vocabulary: Vocabulary) -> str:
    """Photos most often, the other styles equally often."""
    others = [style for style in vocabulary.styles if style != PHOTO]
    if len(vocabulary.styles) == 1:  # nothing is drawn, so that scenes from before there were styles stay the same
        return vocabulary.styles[0]
    if PHOTO in vocabulary.styles and rng.random() < _PHOTOS:
        return PHOTO
    return rng.choice(others)


def _drawn(rng: random.Random, nouns: Sequence[str], count: int) -> list[str]:
    """Different nouns, or now and then two of the same."""
    if count == 2 and rng.random() < _SAME_NOUN:
        return [rng.choice(nouns)] * 2
    return rng.sample(nouns, count)


def _wearing(rng: random.Random, toy: Toy, vocabulary: Vocabulary) -> Accessory | None:
    if not toy.can_wear or not vocabulary.accessories or rng.random() >= _WEARING:
        return None
    return Accessory(rng.choice(vocabulary.accessories), random_colour(rng))
