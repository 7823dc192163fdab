"""The limits, as cases: what is asked, what the photos show, and whether the referee can judge it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdiff_core.evaluation.failure_cases.synthetic_photos import drawn_cat, drawn_mushroom, photographed
from mmdiff_core.evaluation.toybox.suite import FIRST_SEED, PHOTOS, ToyboxCase
from mmdiff_core.toyworld.bodies.toys import CLASS_NAMES, Toy, make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import reference_scene, scene_of, unseen
from mmdiff_core.toyworld.scenes.scene import Caption, Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import Box

IDENTITIES = FIRST_SEED + 40_000  # behind those of the suite's prompts
TINY = 0.2  # of the picture's side
TRIES = 20_000  # identities in which a look-alike is searched


@dataclass(frozen=True)
class FailureCase:
    """One row of the sheet.

    ``photos``, (P, 3, H, W) in [0, 1] of each toy, stand in the place of the rendered ones; ``regions`` say where each
    subject may be. ``unjudged`` says why the referee cannot tell the subjects, where it cannot.
    """

    title: str
    note: str
    case: ToyboxCase
    photos: tuple[Tensor, ...] | None = None
    regions: tuple[Box | None, ...] | None = None
    unjudged: str = ""


def draw_failure_cases(vocabulary: Vocabulary, size: tuple[int, int]) -> Iterator[FailureCase]:
    """Every limit, the same each time, for a model that knows so much of the world. Args: size (width, height)."""
    yield _look_alikes(vocabulary)
    yield _one_noun(vocabulary)
    yield _tiny_photo(vocabulary)
    yield _tiny_picture(vocabulary)
    yield from _unseen_nouns(vocabulary)
    yield _unknown_thing(vocabulary, size)
    yield _photographed(vocabulary, size)
    yield _drawn(vocabulary, size)


def look_alikes(classes: Sequence[str], first: int) -> list[Toy]:
    """Held-out toys of these nouns with the main colour, the second and the pattern of the first."""
    toys = [make_toy(classes[0], first)]
    wanted = (toys[0].attributes.colour_names[:2], toys[0].attributes.pattern)
    for class_name in classes[1:]:
        alike = (make_toy(class_name, seed) for seed in range(first + 1, first + TRIES))
        toys.append(next(toy for toy in alike if (toy.attributes.colour_names[:2], toy.attributes.pattern) == wanted))
    return toys


def _look_alikes(vocabulary: Vocabulary) -> FailureCase:
    toys = look_alikes(_nouns(vocabulary, 3), IDENTITIES)
    note = "Main colour, second colour and pattern are the same: shapes tell them apart."
    return FailureCase("Three look-alikes", note, _case(vocabulary, toys, 1))


def _one_noun(vocabulary: Vocabulary) -> FailureCase:
    toys = [make_toy(vocabulary.classes[0], IDENTITIES + k) for k in range(1, 4)]
    note = "The prompt has the same word three times."
    reason = "the referee tells toys of one picture apart by their nouns"
    return FailureCase(
        f"Three toys of one noun ({vocabulary.classes[0]})", note, _case(vocabulary, toys, 2), unjudged=reason
    )


def _tiny_photo(vocabulary: Vocabulary) -> FailureCase:
    case = _case(vocabulary, [make_toy(_nouns(vocabulary, 2)[1], IDENTITIES + 4)], 3)
    views = tuple(_shrunk(view) for view in case.views[0])
    note = f"The toy is {TINY:.0%} of the photo's height, a few pixels to the image encoder."
    return FailureCase("Tiny in the photo", note, replace(case, views=(views,)))


def _shrunk(view: Scene) -> Scene:
    (placed,) = view.toys
    return replace(view, toys=(replace(placed, height=TINY / placed.toy.figure.height, x=0.1, y=0.3),))


def _tiny_picture(vocabulary: Vocabulary) -> FailureCase:
    case = _case(vocabulary, [make_toy(vocabulary.classes[0], IDENTITIES + 5)], 4)
    note = f"A region of {TINY:.0%} of each side is asked for; toys of the training are more than twice as high."
    box = Box(0.4, 0.6, 0.4 + TINY, 0.6 + TINY)
    return FailureCase("Tiny in the picture", note, case, regions=(box,))


def _unseen_nouns(vocabulary: Vocabulary) -> Iterator[FailureCase]:
    """Two kinds of toy that the world has and the model was not trained on, if there are any."""
    strange = [class_name for class_name in CLASS_NAMES if class_name not in vocabulary.classes]
    for number, class_name in enumerate(strange[:: max(1, len(strange) // 2)][:2]):
        toy = make_toy(class_name, IDENTITIES + 6 + number)
        note = "A kind of toy that was never trained on, as word or as picture."
        yield FailureCase(f"Unseen noun ({class_name})", note, _case(vocabulary, [toy], 5 + number))


def _unknown_thing(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    """A thing of which there is no toy; the scene lends its place alone."""
    case = _case(vocabulary, [make_toy(vocabulary.classes[0], IDENTITIES + 8)], 7)
    background = BACKGROUND_WORDS[case.scene.background][0]
    caption = Caption(f"a mushroom {background}", ("mushroom",), f"a mushroom {background}")
    photos = torch.stack([drawn_mushroom(size), drawn_mushroom(size, 12.0)])
    note = "The world has no such toy; the photos are drawings."
    reason = "the referee does not know the noun"
    scene = replace(case.scene, caption=caption)
    return FailureCase("Unseen noun (mushroom)", note, replace(case, scene=scene), (photos,), unjudged=reason)


def _photographed(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    class_name = _nouns(vocabulary, 2)[1]
    case = _case(vocabulary, [make_toy(class_name, IDENTITIES + 9)], 8)
    drawn = render(case.views[0], size[::-1])
    photos = photographed(random.Random("limits: photographed"), drawn)
    note = "Stand-ins for photos taken at home: clutter, blur, grain, colour cast, JPEG. No real photo ships here."
    return FailureCase("Photos unlike the world's", note, case, (photos,))


def _drawn(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    """A cat where the model knows cats, else its first noun shown by the drawing of a cat."""
    class_name = "cat" if "cat" in vocabulary.classes else vocabulary.classes[0]
    case = _case(vocabulary, [make_toy(class_name, IDENTITIES + 10)], 9)
    photos = torch.stack([drawn_cat(size), drawn_cat(size, -10.0)])
    note = "A drawing, which shares nothing with the renderer; identity is likeness to the drawing."
    return FailureCase(f"A drawn {class_name}", note, case, (photos,))


def _nouns(vocabulary: Vocabulary, count: int) -> list[str]:
    """The first of its nouns; again from the start where it has fewer."""
    return list(itertools.islice(itertools.cycle(vocabulary.classes), count))


def _case(vocabulary: Vocabulary, toys: Sequence[Toy], number: int) -> ToyboxCase:
    """A photo of these toys in a place in which all of them were trained on, its caption naming the place."""
    rng = random.Random(f"limits:{number}")
    free = [
        background
        for background in vocabulary.backgrounds
        if not any(unseen(toy.class_name, background, PHOTO) for toy in toys)
    ]
    background = rng.choice(free or vocabulary.backgrounds)
    scene = scene_of(rng, toys, background, PHOTO, replace(vocabulary, accessories=()))
    while not any(words in scene.caption.text for words in BACKGROUND_WORDS[background]):
        scene = scene_of(rng, toys, background, PHOTO, replace(vocabulary, accessories=()))
    views = tuple(tuple(reference_scene(rng, toy, scene, vocabulary) for _ in range(PHOTOS)) for toy in toys)
    return ToyboxCase(len(toys), number, scene, views)
