"""Subjects for people who have no photo at hand: complete examples, and a die for toys never seen in training."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from mmdiff_core.toybox.captions import NOUN_WORDS, PLACE_WORDS
from mmdiff_core.toybox.dataset import HELD_OUT, NOUNS, toy_photos

PHOTO_SIZE = 256
PHOTOS = 3


@dataclass(frozen=True)
class ToyPhotos:
    """A rendered subject: its word and its photos."""

    name: str
    photos: tuple[Image.Image, ...]


@dataclass(frozen=True)
class Filling:
    """What an example puts into the page."""

    prompt: str
    subjects: tuple[ToyPhotos, ...]


@dataclass(frozen=True)
class Example:
    """A prompt and the toys, (noun, identity seed), that it names."""

    prompt: str
    toys: tuple[tuple[str, int], ...]

    def filling(self) -> Filling:
        """Render the photos."""
        return Filling(self.prompt, tuple(photograph(noun, seed) for noun, seed in self.toys))

    def thumbnails(self, size: int = 96) -> tuple[Image.Image, ...]:
        """One small picture per toy."""
        return tuple(toy_photos(noun, seed, views=1, size=size)[0] for noun, seed in self.toys)


EXAMPLES = (
    Example("a cat next to a robot on the beach", (("cat", HELD_OUT + 5), ("robot", HELD_OUT + 3))),
    Example("a dog in the snow", (("dog", HELD_OUT + 8),)),
    Example("a rabbit next to a car in the forest", (("rabbit", HELD_OUT + 2), ("car", HELD_OUT + 9))),
)


@lru_cache(maxsize=64)
def photograph(noun: str, seed: int, views: int = PHOTOS) -> ToyPhotos:
    """Photos of one toy, each from another side and in another place."""
    return ToyPhotos(noun, tuple(toy_photos(noun, seed, views=views, size=PHOTO_SIZE)))


def vocabulary() -> str:
    """What the built-in model knows, for the page."""
    places = [words[0] for words in PLACE_WORDS.values()]
    return f"The built-in model knows toys ({', '.join(NOUNS)}) and places ({', '.join(places)})."


class ToyBox:
    """The die. Toys come from identities that no model was trained on."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.random = rng or random.SystemRandom()

    def roll(self, wanted: str = "") -> ToyPhotos:
        """A new toy under the name that is wanted where there is such a kind, "kitten" for one, else of any kind."""
        known = [noun for noun, words in NOUN_WORDS.items() if wanted.strip().lower() in words]
        noun = known[0] if known else self.random.choice(NOUNS)
        toy = photograph(noun, HELD_OUT + self.random.randrange(100_000))
        return replace(toy, name=wanted.strip()) if known else toy

    def prompt_for(self, noun: str) -> str:
        """A prompt to start with."""
        article = "an" if noun[0].lower() in "aeiou" else "a"
        return f"{article} {noun} {self.random.choice(list(PLACE_WORDS.values()))[0]}"
