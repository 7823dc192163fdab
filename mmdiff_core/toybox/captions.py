"""What a person would write under a picture: a small grammar with synonyms.

Two captions are made of the same choices: ``text`` names each toy by its noun only, ``detailed`` also says its colours
and pattern. Words for the n-th toy are found as the n-th occurrence of its name, so toys of one noun share a word.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from mmdiff_core.toybox.colours import COLOURS
from mmdiff_core.toybox.scene import Caption
from mmdiff_core.toybox.toys import KINDS, Accessory, Toy

Arrangement = Literal["beside", "left", "right", "front", "behind", "between"]

# Words for a noun, the plain one first; it is chosen half of the time.
NOUN_WORDS: dict[str, tuple[str, ...]] = {
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
}

PLACE_WORDS: dict[str, tuple[str, ...]] = {
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
}

_FRAMES = ("{toys} {place}", "a photo of {toys} {place}", "a picture of {toys} {place}", "{place}, {toys}", "{toys}")
_FRAME_WEIGHTS = (66, 16, 6, 8, 4)

_RELATIONS: dict[Arrangement, tuple[str, ...]] = {
    "beside": ("{0} next to {1}", "{0} and {1}", "{0} beside {1}", "{0} with {1}", "{0} standing next to {1}"),
    "left": ("{0} to the left of {1}", "{0} on the left of {1}", "{0} left of {1}"),
    "right": ("{0} to the right of {1}", "{0} on the right of {1}", "{0} right of {1}"),
    "front": ("{0} in front of {1}",),
    "behind": ("{0} behind {1}",),
}
_TRIPLES: dict[Arrangement, tuple[str, ...]] = {
    "beside": ("{0}, {1} and {2}", "{0} next to {1} and {2}", "{0} with {1} and {2}"),
    "between": ("{0} between {1} and {2}",),
}


class Wording(NamedTuple):
    """The parts of a caption before it is put together."""

    frame: str
    relation: str
    place: str


def arrangement_of(rng: random.Random, count: int) -> Arrangement:
    """How toys are to stand: side by side mostly."""
    if count == 2:
        return rng.choices(("beside", "left", "right", "front", "behind"), (50, 16, 16, 9, 9))[0]
    return rng.choices(("beside", "between"), (75, 25))[0] if count == 3 else "beside"


def write_caption(
    rng: random.Random,
    toys: Sequence[Toy],
    wearing: Sequence[Accessory | None],
    place: str,
    arrangement: Arrangement,
) -> Caption:
    """Caption of one to three toys in a place; see Caption for what its fields promise."""
    nouns = {toy.noun: _word(rng, toy.noun) for toy in toys}  # one word per noun: see the module's docstring
    names = tuple(nouns[toy.noun] for toy in toys)
    wording = Wording(
        rng.choices(_FRAMES, _FRAME_WEIGHTS)[0],
        _relation(rng, len(toys), arrangement),
        rng.choice(PLACE_WORDS[place]),
    )
    worn = ["" if thing is None else f" wearing {_article(thing.colour)} {thing.kind}" for thing in wearing]
    short = [_phrase(names, i) + worn[i] for i in range(len(toys))]
    looks = [_described(rng, toy, name) for toy, name in zip(toys, names, strict=True)]
    long = [_phrase(looks, i, names) + worn[i] for i in range(len(toys))]
    return Caption(_assemble(wording, short), names, _assemble(wording, long))


def random_colour(rng: random.Random) -> str:
    """Colour of something to wear."""
    return rng.choice([name for name in COLOURS if name not in ("brown", "grey")])


def _word(rng: random.Random, noun: str) -> str:
    words = NOUN_WORDS[noun]
    return words[0] if rng.random() < 0.5 else rng.choice(words)


def _relation(rng: random.Random, count: int, arrangement: Arrangement) -> str:
    if count == 1:
        return "{0}"
    return rng.choice((_RELATIONS if count == 2 else _TRIPLES)[arrangement])


def _phrase(phrases: Sequence[str], i: int, names: Sequence[str] | None = None) -> str:
    """Toy ``i`` with its article: "another" where a toy of the same name came before."""
    names = names or phrases
    return f"another {phrases[i]}" if names[i] in names[:i] else _article(phrases[i])


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _described(rng: random.Random, toy: Toy, name: str) -> str:
    """Colours and pattern in words, around the toy's name."""
    main, second, accent = toy.look.names
    kind = KINDS[toy.noun]
    pattern = {
        "plain": (f"{main} {name} with {_a_part(second, kind.second)}",),
        "stripes": (f"{main} {name} with {second} stripes", f"{main} and {second} striped {name}"),
        "dots": (f"{main} {name} with {second} dots", f"{main} {name} with {second} spots"),
        "patches": (f"{main} {name} with {second} patches",),
        "two-tone": (f"half {main} half {second} {name}", f"{main} and {second} {name}"),
    }[toy.look.pattern]
    text = rng.choice(pattern)
    if rng.random() < 0.3:
        return text
    return f"{text} {'and' if ' with ' in text else 'with'} {_a_part(accent, kind.accent)}"


def _a_part(colour: str, part: str) -> str:
    return f"{colour} {part}" if part.endswith("s") or part == "feet" else _article(f"{colour} {part}")


def _assemble(wording: Wording, phrases: Sequence[str]) -> str:
    return wording.frame.format(toys=wording.relation.format(*phrases), place=wording.place)
