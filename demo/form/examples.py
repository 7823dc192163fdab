"""Subjects for people without a photo at hand: complete examples, and random toys that no training has seen."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache

from PIL import Image

from demo.web.cached_files import TOY
from demo.words.english import with_article
from demo.words.prompt_edits import PhraseKind
from mmdiff_core.encoders.name_matching import fold
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS, CLASS_WORDS, RELATIONS
from mmdiff_core.toyworld.scenes.known_phrases import KnownPhrases
from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary

PHOTO_SIZE = 256
PHOTOS = 3


@dataclass(frozen=True)
class ToyPhotos:
    """A rendered subject: its word and its photos."""

    name: str
    photos: tuple[Image.Image, ...]


@dataclass(frozen=True)
class ExampleContent:
    """What an example puts into the fields."""

    prompt: str
    subjects: tuple[ToyPhotos, ...]
    seed: int | None = None  # of the first image; None draws one


@dataclass(frozen=True)
class StudioExample:
    """A prompt with its toys, (noun, identity seed), its place and its style.

    ``seed`` is one with which the shipped weights show these toys well; None for those that they do not know.
    """

    prompt: str
    toys: tuple[tuple[str, int], ...]
    place: str
    style: str = "photo"
    seed: int | None = None

    def content(self) -> ExampleContent:
        """Render the photos."""
        toys = tuple(_render_example_toy(noun, seed) for noun, seed in self.toys)
        return ExampleContent(self.prompt, toys, self.seed)

    def thumbnails(self, size: int = 96) -> tuple[Image.Image, ...]:
        """Render a small picture of each toy."""
        return tuple(toy_photos(noun, seed, views=1, size=size)[0] for noun, seed in self.toys)

    def fits(self, known: Vocabulary) -> bool:
        """Whether a model with this vocabulary knows everything in the example."""
        nouns = all(noun in known.classes for noun, _ in self.toys)
        return nouns and self.place in known.backgrounds and self.style in known.styles


EXAMPLES = (
    StudioExample(
        "a cat next to a robot on the beach", (("cat", HELD_OUT + 5), ("robot", HELD_OUT + 3)), "beach", seed=3
    ),
    StudioExample("a dog in the snow", (("dog", HELD_OUT + 8),), "snow", seed=1),
    StudioExample(
        "a frog next to a boat on the beach", (("frog", HELD_OUT + 3), ("boat", HELD_OUT + 2)), "beach", seed=2
    ),
    StudioExample(
        "a bear and a dinosaur in the meadow", (("bear", HELD_OUT + 4), ("dinosaur", HELD_OUT + 6)), "meadow", seed=1
    ),
    StudioExample("a penguin wearing a red scarf in the snow", (("penguin", HELD_OUT + 1),), "snow", seed=4),
    StudioExample(
        "a rabbit next to a car in the forest", (("rabbit", HELD_OUT + 2), ("car", HELD_OUT + 9)), "forest", seed=3
    ),
    StudioExample("a watercolour of an owl in the kitchen", (("owl", HELD_OUT + 4),), "kitchen", "watercolour"),
    StudioExample(
        "a fish and an octopus under water", (("fish", HELD_OUT + 6), ("octopus", HELD_OUT + 1)), "under water"
    ),
    StudioExample("pixel art of a train at sunset", (("train", HELD_OUT + 7),), "sunset", "pixel art"),
)


def vocabulary_of(backbone: object) -> Vocabulary | None:
    """Return what of the rendered world a model was trained on; None for a model of the real world."""
    return getattr(backbone, "vocabulary", None)


def examples_for(known: Vocabulary | None) -> tuple[StudioExample, ...]:
    """Return the examples that a model can follow; all of them for a model of the real world."""
    return tuple(example for example in EXAMPLES if known is None or example.fits(known))


def known_phrases(known: Vocabulary | None) -> dict[PhraseKind, dict[str, str]]:
    """Return what can be written for the loaded weights, by kind: phrases, each with the key of the page's text for it.

    Empty for a model of the real world.
    """
    if known is None:
        return {}
    phrases = KnownPhrases(known)
    keys = [f"class_{name}" for name in known.classes]
    places = [f"background_{name.replace(' ', '_')}" for name in known.backgrounds]
    relations = [f"relation_{name}" for name in RELATIONS]
    return {
        "toy": dict(zip(phrases.classes, keys, strict=True)),
        "place": dict(zip(phrases.backgrounds, places, strict=True)),
        "relation": dict(zip(phrases.relations, relations, strict=True)),
        "style": dict.fromkeys(phrases.styles, ""),
    }


def render_toy(noun: str, seed: int, views: int = PHOTOS) -> ToyPhotos:
    """Render photos of one toy, each from another side and in another place."""
    photos = toy_photos(noun, seed, views=views, size=PHOTO_SIZE)
    if views == PHOTOS:  # what a link names
        for view, photo in enumerate(photos):
            photo.info[TOY] = f"{noun}-{seed}-{view}"
    return ToyPhotos(noun, tuple(photos))


@lru_cache(maxsize=len({toy for example in EXAMPLES for toy in example.toys}))
def _render_example_toy(noun: str, seed: int) -> ToyPhotos:
    """Render a toy of an example, once; other toys are not cached, so that no visitor fills the memory."""
    return render_toy(noun, seed)


class RandomToys:
    """Toys of identities that no model was trained on, of classes that the loaded one knows."""

    def __init__(self, rng: random.Random | None = None, known: Vocabulary | None = None) -> None:
        self.random = rng or random.SystemRandom()
        self.limited = known is not None  # else the model knows the real world
        self.known = known or WHOLE_WORLD

    def draw(self, name: str = "") -> ToyPhotos:
        """Return a new toy under a name that stands for a class, such as "kitten"; of any class under another name."""
        classes = [noun for noun in self.known.classes if fold(name) in CLASS_WORDS[noun]]
        noun = classes[0] if classes else self.random.choice(self.known.classes)
        toy = render_toy(noun, HELD_OUT + self.random.randrange(100_000))
        return replace(toy, name=name.strip()) if classes else toy

    def prompt_for(self, noun: str) -> str:
        """Return a prompt to start with."""
        return f"{with_article(noun)} {BACKGROUND_WORDS[self.random.choice(self.known.backgrounds)][0]}"
