"""Captions as a person would write them: a small grammar with synonyms.

Two captions follow from the same choices: ``text`` names each toy by its class, ``detailed`` adds its colours and
pattern. The n-th toy with a name is found as the n-th occurrence of that name, so toys of one class share a word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mmdiff_core.toyworld.bodies.toys import CLASSES, Accessory, Toy
from mmdiff_core.toyworld.render.colours import COLOURS
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.scene import Caption

Arrangement = Literal["beside", "left", "right", "front", "behind", "between"]

# Words for a class, the plain one first; captions use it half of the time.
CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "cat": ("cat", "kitten", "kitty"),
    "dog": ("dog", "puppy"),
    "rabbit": ("rabbit", "bunny"),
    "bear": ("bear", "teddy bear"),
    "penguin": ("penguin",),
    "frog": ("frog",),
    "elephant": ("elephant",),
    "dinosaur": ("dinosaur", "dino"),
    "robot": ("robot",),
    "car": ("car", "toy car"),
    "boat": ("boat", "sailboat", "ship"),
    "rocket": ("rocket", "spaceship"),
    "owl": ("owl",),
    "duck": ("duck", "duckling", "rubber duck"),
    "lion": ("lion",),
    "giraffe": ("giraffe",),
    "unicorn": ("unicorn",),
    "turtle": ("turtle", "tortoise"),
    "fish": ("fish", "goldfish"),
    "octopus": ("octopus",),
    "snail": ("snail",),
    "train": ("train", "locomotive", "steam train"),
    "airplane": ("airplane", "plane", "aeroplane"),
    "teapot": ("teapot", "tea pot"),
}

BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {
    "beach": ("on the beach", "at the beach", "on a sandy beach", "by the sea", "at the seaside", "by the ocean"),
    "snow": ("in the snow", "in a snowy landscape", "on the snow", "in winter", "in the snowy mountains"),
    "forest": ("in the forest", "in a forest", "in the woods", "among the trees", "in the jungle"),
    "desert": ("in the desert", "in a desert", "in the hot desert", "among the cactuses", "on the sand dunes"),
    "meadow": (
        "in the meadow",
        "in a meadow",
        "on the grass",
        "in a field of flowers",
        "in the park",
        "on a green hill",
    ),
    "city at night": (
        "in the city at night",
        "in a city at night",
        "on the street at night",
        "downtown at night",
        "in a city by night",
    ),
    "bedroom": ("in the bedroom", "in a bedroom", "in a room", "on the rug", "in the nursery", "at home"),
    "space": ("in space", "on the moon", "in outer space", "among the stars", "on another planet"),
    "kitchen": ("in the kitchen", "in a kitchen", "on the kitchen floor", "in a tiled kitchen"),
    "under water": (
        *("under water", "underwater", "under the sea", "at the bottom of the sea", "in the ocean", "on a coral reef"),
    ),
    "stage": ("on the stage", "on a stage", "in the theatre", "in a theater", "in the spotlight", "in the circus"),
    "sunset": ("at sunset", "in the sunset", "by a lake at sunset", "in the evening light", "at dusk", "at sundown"),
    "volcano": ("at the volcano", "on a volcano", "near a volcano", "on hot lava", "by a river of lava"),
    "autumn": ("in autumn", "in the fall", "among autumn leaves", "in an autumn park", "on the fallen leaves"),
}

FRAMES = (
    "{toys} {where}",
    "a photo of {toys} {where}",
    "a picture of {toys} {where}",
    "{where}, {toys}",
    "{toys}",
)
_FRAME_WEIGHTS = (66, 16, 6, 8, 4)

# How a style is named before and after the content of the image.
STYLE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "watercolour": (
        ("a watercolour of", "a watercolor of", "a watercolour painting of", "a painting of", "an aquarelle of"),
        ("as a watercolour", "in watercolour", "as a watercolor painting", "painted in watercolours"),
    ),
    "pencil sketch": (
        ("a pencil sketch of", "a sketch of", "a pencil drawing of", "a drawing of"),
        ("as a pencil sketch", "as a pencil drawing", "drawn in pencil", "sketched in pencil"),
    ),
    "pixel art": (
        ("pixel art of", "a pixel art picture of", "an 8-bit picture of", "a pixelated picture of"),
        ("as pixel art", "in pixel art", "in pixel art style", "as a pixel game"),
    ),
}
STYLED_FRAMES = (
    *("{before} {toys} {where}", "{toys} {where} {after}", "{toys} {where}, {after}", "{before} {toys}"),
    *("{after}, {toys} {where}", "{toys} {after}"),
)
_STYLED_WEIGHTS = (58, 18, 10, 5, 5, 4)

RELATIONS: dict[Arrangement, tuple[str, ...]] = {
    "beside": ("{0} next to {1}", "{0} and {1}", "{0} beside {1}", "{0} with {1}", "{0} standing next to {1}"),
    "left": ("{0} to the left of {1}", "{0} on the left of {1}", "{0} left of {1}"),
    "right": ("{0} to the right of {1}", "{0} on the right of {1}", "{0} right of {1}"),
    "front": ("{0} in front of {1}",),
    "behind": ("{0} behind {1}",),
}
TRIPLES: dict[Arrangement, tuple[str, ...]] = {
    "beside": ("{0}, {1} and {2}", "{0} next to {1} and {2}", "{0} with {1} and {2}"),
    "between": ("{0} between {1} and {2}",),
}


class Wording(NamedTuple):
    """The pieces of a caption."""

    frame: str
    relation: str
    where: str


def arrangement_of(rng: random.Random, count: int) -> Arrangement:
    """Draw how the toys stand: mostly side by side."""
    if count == 2:
        return rng.choices(("beside", "left", "right", "front", "behind"), (50, 16, 16, 9, 9))[0]
    return rng.choices(("beside", "between"), (75, 25))[0] if count == 3 else "beside"


def write_caption(
    rng: random.Random,
    toys: Sequence[Toy],
    wearing: Sequence[Accessory | None],
    background: str,
    arrangement: Arrangement,
    style: str = PHOTO,
) -> Caption:
    """Write the caption of one to three toys on a background in a style."""
    words = {toy.class_name: _word(rng, toy.class_name) for toy in toys}  # one per class: see the module's docstring
    names = tuple(words[toy.class_name] for toy in toys)
    frame, relation = _frame(rng, style), _relation(rng, len(toys), arrangement)
    wording = Wording(frame, relation, rng.choice(BACKGROUND_WORDS[background]))
    worn = ["" if item is None else f" wearing {_article(item.colour)} {item.kind}" for item in wearing]
    short = [_phrase(names, i) + worn[i] for i in range(len(toys))]
    described = [_describe_toy(rng, toy, name) for toy, name in zip(toys, names, strict=True)]
    long = [_phrase(described, i, names) + worn[i] for i in range(len(toys))]
    return Caption(_assemble(wording, short), names, _assemble(wording, long))


def random_colour(rng: random.Random) -> str:
    """Draw the colour of an accessory."""
    return rng.choice([name for name in COLOURS if name not in ("brown", "grey")])


def _frame(rng: random.Random, style: str) -> str:
    """Draw the frame of a caption: it seldom names the style of a photo, but always names any other style."""
    if style == PHOTO:
        return rng.choices(FRAMES, _FRAME_WEIGHTS)[0]
    before, after = STYLE_WORDS[style]
    frame = rng.choices(STYLED_FRAMES, _STYLED_WEIGHTS)[0]
    return frame.replace("{before}", rng.choice(before)).replace("{after}", rng.choice(after))


def _word(rng: random.Random, class_name: str) -> str:
    words = CLASS_WORDS[class_name]
    return words[0] if rng.random() < 0.5 else rng.choice(words)


def _relation(rng: random.Random, count: int, arrangement: Arrangement) -> str:
    if count == 1:
        return "{0}"
    return rng.choice((RELATIONS if count == 2 else TRIPLES)[arrangement])


def _phrase(phrases: Sequence[str], i: int, names: Sequence[str] | None = None) -> str:
    """Return the phrase of toy ``i`` with its article, or with "another" if its name came before."""
    names = names or phrases
    return f"another {phrases[i]}" if names[i] in names[:i] else _article(phrases[i])


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _describe_toy(rng: random.Random, toy: Toy, name: str) -> str:
    """Put colours and pattern into words, around the toy's name."""
    main, second, accent = toy.attributes.colour_names
    toy_class = CLASSES[toy.class_name]
    pattern = {
        "plain": (f"{main} {name} with {_coloured_part(second, toy_class.second)}",),
        "stripes": (f"{main} {name} with {second} stripes", f"{main} and {second} striped {name}"),
        "dots": (f"{main} {name} with {second} dots", f"{main} {name} with {second} spots"),
        "patches": (f"{main} {name} with {second} patches",),
        "two-tone": (f"half {main} half {second} {name}", f"{main} and {second} {name}"),
    }[toy.attributes.pattern]
    text = rng.choice(pattern)
    if rng.random() < 0.3:
        return text
    return f"{text} {'and' if ' with ' in text else 'with'} {_coloured_part(accent, toy_class.accent)}"


def _coloured_part(colour: str, part: str) -> str:
    return f"{colour} {part}" if part.endswith("s") or part == "feet" else _article(f"{colour} {part}")


def _assemble(wording: Wording, phrases: Sequence[str]) -> str:
    return wording.frame.format(toys=wording.relation.format(*phrases), where=wording.where)
