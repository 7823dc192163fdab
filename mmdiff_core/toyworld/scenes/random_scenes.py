"""Random scenes, and photos of the toys in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from PIL import Image

from mmdiff_core.errors import SettingsError
from mmdiff_core.toyworld.bodies.toys import Accessory, Toy, make_toy
from mmdiff_core.toyworld.render.renderer import render, to_bytes
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import arrangement_of, random_colour, write_caption
from mmdiff_core.toyworld.scenes.layout import compose, half_width
from mmdiff_core.toyworld.scenes.scene import PlacedToy, Scene
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD, Vocabulary

HELD_OUT = 900_000  # identities with this seed and up are never trained on
_HELD_OUT_COUNT = 100_000

# No training scene has these pairs (class, background) in any style, or these triples (class, background, style).
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
        *(("rabbit", "meadow", "pencil sketch"), ("lion", "desert", "pencil sketch")),
        ("duck", "sunset", "pencil sketch"),
        *(("bear", "snow", "pixel art"), ("airplane", "autumn", "pixel art"), ("fish", "under water", "pixel art")),
    }
)

Identities = Literal["train", "held_out"]

_COUNT_WEIGHTS = {1: 42, 2: 48, 3: 10}
_SAME_CLASS = 0.10  # share of the scenes with two toys
_WEARING = 0.15  # share of the toys that can wear something
_PHOTOS = 0.4  # share of the scenes where the vocabulary has other styles, too


def random_scene(
    rng: random.Random,
    subjects: int | None = None,
    identities: Identities = "train",
    vocabulary: Vocabulary = WHOLE_WORLD,
) -> Scene:
    """Draw a scene with one to three toys (a random number if ``subjects`` is None) and its caption.

    Training scenes use training identities and avoid ``UNSEEN_PAIRS`` and ``UNSEEN_STYLED``. Held-out scenes use unseen
    identities on any background and in any style.

    Raises:
        SettingsError: the vocabulary has too few classes.
    """
    count = subjects or rng.choices(tuple(_COUNT_WEIGHTS), tuple(_COUNT_WEIGHTS.values()))[0]
    background = rng.choice(vocabulary.backgrounds)
    style = _style(rng, vocabulary)
    classes = [
        class_name
        for class_name in vocabulary.classes
        if identities == "held_out" or not unseen(class_name, background, style)
    ]
    if len(classes) < (subjects or 1):
        raise SettingsError(
            f"A scene of {subjects or 1} toys ({background}, {style}) needs as many classes, but only {len(classes)} "
            "of the vocabulary fit: add classes to it."
        )
    count = min(count, len(classes))
    first, identity_count = (0, HELD_OUT) if identities == "train" else (HELD_OUT, _HELD_OUT_COUNT)
    names = _class_names(rng, classes, count)
    toys = [make_toy(class_name, first + rng.randrange(identity_count)) for class_name in names]
    return scene_of(rng, toys, background, style, vocabulary)


def scene_of(
    rng: random.Random, toys: Sequence[Toy], background: str, style: str = PHOTO, vocabulary: Vocabulary = WHOLE_WORLD
) -> Scene:
    """Compose a scene of these toys with random accessories, positions and caption."""
    wearing = [_wearing(rng, toy, vocabulary) for toy in toys]
    arrangement = arrangement_of(rng, len(toys))
    caption = write_caption(rng, toys, wearing, background, arrangement, style)
    placed = compose(rng, toys, wearing, arrangement)
    return Scene(placed, background, rng.getrandbits(31), rng.uniform(6, 16), caption, style)


def unseen(class_name: str, background: str, style: str) -> bool:
    """Whether training scenes never combine this class, background and style."""
    return (class_name, background) in UNSEEN_PAIRS or (class_name, background, style) in UNSEEN_STYLED


def reference_scene(
    rng: random.Random, toy: Toy, apart_from: Scene | None = None, vocabulary: Vocabulary = WHOLE_WORLD
) -> Scene:
    """Compose a "photo" of the toy alone, with another view, background, light and scale than in ``apart_from``."""
    free = [name for name in vocabulary.backgrounds if not unseen(toy.class_name, name, PHOTO)]
    elsewhere = [name for name in free if apart_from is None or name != apart_from.background]
    background = rng.choice(elsewhere or free or vocabulary.backgrounds)
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
    caption = write_caption(rng, [toy], [None], background, "beside")
    return Scene((placed,), background, rng.getrandbits(31), rng.uniform(4, 20), caption)


def toy_photos(class_name: str, seed: int, views: int = 4, size: int = 256) -> list[Image.Image]:
    """Render photos (size, size) of one toy from several sides, each on another background that all weights know.

    Raises:
        SettingsError: the world has no such class.
    """
    toy = make_toy(class_name, seed)
    rng = random.Random(f"photos:{class_name}:{seed}")
    backgrounds = rng.sample(FIRST_WORLD.backgrounds, len(FIRST_WORLD.backgrounds))
    scenes = []
    for i in range(views):
        yaw = (-50 + 100 * i / (views - 1) if views > 1 else 20) + rng.uniform(-6, 6)
        height = 0.80 * min(1.0, 0.46 / half_width(toy, yaw) / 0.80) / max(toy.figure.height, 0.7)
        foot = height * toy.figure.height / 2 + 0.04
        caption = write_caption(rng, [toy], [None], backgrounds[i % len(backgrounds)], "beside")
        placed = PlacedToy(toy, 0.0, foot, height, yaw)
        scenes.append(Scene((placed,), backgrounds[i % len(backgrounds)], rng.getrandbits(31), 10.0, caption))
    return [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in to_bytes(render(scenes, size).images)]


def _style(rng: random.Random, vocabulary: Vocabulary) -> str:
    """Draw a style: photos most often, the others equally often."""
    others = [style for style in vocabulary.styles if style != PHOTO]
    if len(vocabulary.styles) == 1:  # draws no random number, so that scenes of the first world stay the same
        return vocabulary.styles[0]
    if PHOTO in vocabulary.styles and rng.random() < _PHOTOS:
        return PHOTO
    return rng.choice(others)


def _class_names(rng: random.Random, classes: Sequence[str], count: int) -> list[str]:
    """Draw different classes, or occasionally one class twice."""
    if count == 2 and rng.random() < _SAME_CLASS:
        return [rng.choice(classes)] * 2
    return rng.sample(classes, count)


def _wearing(rng: random.Random, toy: Toy, vocabulary: Vocabulary) -> Accessory | None:
    if not toy.can_wear or not vocabulary.accessories or rng.random() >= _WEARING:
        return None
    return Accessory(rng.choice(vocabulary.accessories), random_colour(rng))
