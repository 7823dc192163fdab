"""The failure cases: prompts, photos, and whether the referee can judge the result."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdiff_core.evaluation.failure_cases.synthetic_photos import drawn_cat, drawn_mushroom, photographed
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, ToyboxCase, compose_case
from mmdiff_core.toyworld.bodies.toys import CLASS_NAMES, Toy, make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import unseen
from mmdiff_core.toyworld.scenes.scene import Caption, Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import Box

IDENTITIES = FIRST_SEED + 40_000  # behind those of the suite's prompts
TINY = 0.2  # of the image's side
TRIES = 20_000  # identities among which a look-alike is searched


@dataclass(frozen=True)
class FailureCase:
    """One row of the sheet.

    ``photos``, (P, 3, H, W) in [0, 1] of each toy, replace the rendered ones; ``regions`` limit where each subject may
    be. ``unjudged`` says why the referee cannot judge the subjects, if so.
    """

    title: str
    note: str
    case: ToyboxCase
    photos: tuple[Tensor, ...] | None = None
    regions: tuple[Box | None, ...] | None = None
    unjudged: str = ""


def draw_failure_cases(vocabulary: Vocabulary, size: tuple[int, int]) -> Iterator[FailureCase]:
    """Draw every case for a model with this vocabulary, the same each time; ``size`` is (width, height)."""
    yield _look_alikes(vocabulary)
    yield _one_class(vocabulary)
    yield _tiny_photo(vocabulary)
    yield _tiny_subject(vocabulary)
    yield from _unseen_classes(vocabulary)
    yield _unknown_object(vocabulary, size)
    yield _photographed(vocabulary, size)
    yield _drawn(vocabulary, size)


def look_alikes(classes: Sequence[str], first: int) -> list[Toy]:
    """Return held-out toys of these classes with the main colour, the second colour and the pattern of the first."""
    toys = [make_toy(classes[0], first)]
    wanted = (toys[0].attributes.colour_names[:2], toys[0].attributes.pattern)
    for class_name in classes[1:]:
        candidates = (make_toy(class_name, seed) for seed in range(first + 1, first + TRIES))
        alike = (toy for toy in candidates if (toy.attributes.colour_names[:2], toy.attributes.pattern) == wanted)
        toys.append(next(alike))
    return toys


def _look_alikes(vocabulary: Vocabulary) -> FailureCase:
    toys = look_alikes(_first_classes(vocabulary, 3), IDENTITIES)
    note = "Main colour, second colour and pattern are the same; only shapes differ."
    return FailureCase("Three look-alikes", note, _case(vocabulary, toys, 1))


def _one_class(vocabulary: Vocabulary) -> FailureCase:
    toys = [make_toy(vocabulary.classes[0], IDENTITIES + k) for k in range(1, 4)]
    title = f"Three toys of one class ({vocabulary.classes[0]})"
    note = "The prompt has the same word three times."
    reason = "the referee distinguishes the toys of an image by their classes"
    return FailureCase(title, note, _case(vocabulary, toys, 2), unjudged=reason)


def _tiny_photo(vocabulary: Vocabulary) -> FailureCase:
    case = _case(vocabulary, [make_toy(_first_classes(vocabulary, 2)[1], IDENTITIES + 4)], 3)
    views = tuple(_shrunk(view) for view in case.views[0])
    note = f"The toy is {TINY:.0%} of the photo's height, a few pixels to the image encoder."
    return FailureCase("Tiny in the photo", note, replace(case, views=(views,)))


def _shrunk(view: Scene) -> Scene:
    (placed,) = view.toys
    return replace(view, toys=(replace(placed, height=TINY / placed.toy.figure.height, x=0.1, y=0.3),))


def _tiny_subject(vocabulary: Vocabulary) -> FailureCase:
    case = _case(vocabulary, [make_toy(vocabulary.classes[0], IDENTITIES + 5)], 4)
    note = f"The subject's region is {TINY:.0%} of each side; toys in training are more than twice as high."
    box = Box(0.4, 0.6, 0.4 + TINY, 0.6 + TINY)
    return FailureCase("Tiny in the image", note, case, regions=(box,))


def _unseen_classes(vocabulary: Vocabulary) -> Iterator[FailureCase]:
    """Draw two classes that the world has and the model was not trained on, if there are any."""
    others = [class_name for class_name in CLASS_NAMES if class_name not in vocabulary.classes]
    for number, class_name in enumerate(others[:: max(1, len(others) // 2)][:2]):
        toy = make_toy(class_name, IDENTITIES + 6 + number)
        note = "Neither the word nor the shape occurred in training."
        yield FailureCase(f"Unseen class ({class_name})", note, _case(vocabulary, [toy], 5 + number))


def _unknown_object(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    """Draw an object of which there is no toy; only the background comes from a scene."""
    case = _case(vocabulary, [make_toy(vocabulary.classes[0], IDENTITIES + 8)], 7)
    where = BACKGROUND_WORDS[case.scene.background][0]
    caption = Caption(f"a mushroom {where}", ("mushroom",), f"a mushroom {where}")
    photos = torch.stack([drawn_mushroom(size), drawn_mushroom(size, 12.0)])
    note = "The world has no such toy; the photos are drawings."
    reason = "the referee does not know the class"
    scene = replace(case.scene, caption=caption)
    return FailureCase("Unseen class (mushroom)", note, replace(case, scene=scene), (photos,), unjudged=reason)


def _photographed(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    class_name = _first_classes(vocabulary, 2)[1]
    case = _case(vocabulary, [make_toy(class_name, IDENTITIES + 9)], 8)
    rendered = render(case.views[0], size[::-1])
    photos = photographed(random.Random("limits: photographed"), rendered)
    note = "Synthetic photos with clutter, blur, grain, colour cast and JPEG, as if taken at home; no real photo ships."
    return FailureCase("Photos unlike the world's", note, case, (photos,))


def _drawn(vocabulary: Vocabulary, size: tuple[int, int]) -> FailureCase:
    """Draw a cat if the model knows cats, else its first class shown by the drawing of a cat."""
    class_name = "cat" if "cat" in vocabulary.classes else vocabulary.classes[0]
    case = _case(vocabulary, [make_toy(class_name, IDENTITIES + 10)], 9)
    photos = torch.stack([drawn_cat(size), drawn_cat(size, -10.0)])
    note = "A drawing, which has nothing in common with the renderer; identity is similarity to the drawing."
    return FailureCase(f"A drawn {class_name}", note, case, (photos,))


def _first_classes(vocabulary: Vocabulary, count: int) -> list[str]:
    """Return the first classes, repeated if there are too few."""
    return list(itertools.islice(itertools.cycle(vocabulary.classes), count))


def _case(vocabulary: Vocabulary, toys: Sequence[Toy], number: int) -> ToyboxCase:
    """Compose a photo of these toys on a background that all of them were trained on."""
    rng = random.Random(f"limits:{number}")
    names = vocabulary.backgrounds
    free = [name for name in names if not any(unseen(toy.class_name, name, PHOTO) for toy in toys)]
    return compose_case(rng, toys, number, rng.choice(free or names), PHOTO, vocabulary, bare=True)
