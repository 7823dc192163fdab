"""The prompts of the Toybox suite: about identities that were never trained on, and the same every time."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mmdiff_core.toyworld.bodies.toys import Toy, make_toy
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import UNSEEN_PAIRS, UNSEEN_STYLED, reference_scene, scene_of
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

FIRST_SEED = 900_000  # of the held-out identities
COUNTS = {1: "one", 2: "two", 3: "three"}  # the number of subjects as files and tables have it
PROMPTS = {1: 200, 2: 200, 3: 100}  # by the number of subjects
QUICK_PROMPTS = {1: 10, 2: 10, 3: 5}
SEEDS = (0, 1)
PHOTOS = 2  # per subject
UNSEEN_EVERY = 8  # one prompt in eight has a combination of class, background and style that training left out
APART = 10_000  # identities between those of prompts with n and with n + 1 subjects


@dataclass(frozen=True)
class ToyboxCase:
    """One prompt: the scene as it should look, and the scenes of the photos of its toys."""

    count: int
    number: int
    scene: Scene
    views: tuple[tuple[Scene, ...], ...]  # PHOTOS of each toy

    @property
    def toys(self) -> tuple[Toy, ...]:
        """Return the toys in the order of the prompt."""
        return tuple(placed.toy for placed in self.scene.toys)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class of each toy."""
        return tuple(toy.class_name for toy in self.toys)


def draw_toybox_cases(vocabulary: Vocabulary, prompts: Mapping[int, int], seed: int = FIRST_SEED) -> list[ToyboxCase]:
    """Draw the prompts of the suite; no identity occurs in two prompts, and a shorter suite begins a longer one.

    Identities are ``seed``, ``seed + 1``, ... for one subject, ``seed + APART``, ... for two, and so on. No class
    occurs twice in a scene. Captions name the toys and the background, and the style unless it is a photo.
    """
    cases = []
    for count, number in ((count, number) for count, total in prompts.items() for number in range(total)):
        rng = random.Random(f"suite:{seed}:{count}:{number}")
        identities = itertools.count(seed + APART * (count - 1) + count * number)
        classes, background, style = _combination(rng, vocabulary, count, number % UNSEEN_EVERY == 0)
        toys = [make_toy(class_name, next(identities)) for class_name in classes]
        cases.append(compose_case(rng, toys, number, background, style, vocabulary))
    return cases


def compose_case(
    rng: random.Random, toys: Sequence[Toy], number: int, background: str, style: str, vocabulary: Vocabulary,
    bare: bool = False,
) -> ToyboxCase:  # fmt: skip
    """Compose a scene whose caption names the background, and the photos of its toys; ``bare``: without accessories."""
    worn = replace(vocabulary, accessories=()) if bare else vocabulary
    scene = scene_of(rng, toys, background, style, worn)
    while not any(words in scene.caption.text for words in BACKGROUND_WORDS[background]):
        scene = scene_of(rng, toys, background, style, worn)
    views = tuple(tuple(reference_scene(rng, toy, scene, vocabulary) for _ in range(PHOTOS)) for toy in toys)
    return ToyboxCase(len(toys), number, scene, views)


def _combination(rng: random.Random, vocabulary: Vocabulary, count: int, unseen: bool) -> tuple[list[str], str, str]:
    """Draw different classes, a background and a style; ``unseen``: with a combination that training left out."""
    background, style = rng.choice(vocabulary.backgrounds), rng.choice(vocabulary.styles)
    classes = rng.sample(vocabulary.classes, min(count, len(vocabulary.classes)))
    left_out = _left_out(vocabulary) if unseen else []
    if left_out:
        class_name, background, style = rng.choice(left_out)
        classes = [class_name, *(other for other in classes if other != class_name)][:count]
        rng.shuffle(classes)
    return classes, background, style


def _left_out(vocabulary: Vocabulary) -> list[tuple[str, str, str]]:
    """Return the combinations of the vocabulary's names that no training scene has."""
    pairs = ((class_name, background, PHOTO) for class_name, background in sorted(UNSEEN_PAIRS))
    return [
        (class_name, background, style)
        for class_name, background, style in (*pairs, *sorted(UNSEEN_STYLED))
        if class_name in vocabulary.classes and background in vocabulary.backgrounds and style in vocabulary.styles
    ]
