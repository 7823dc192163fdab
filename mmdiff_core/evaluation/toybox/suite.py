"""The Toybox suite: prompts about toys that were never trained on, drawn the same way every time.

Every prompt is carried out three times: by the model under test from photos ("model"), by rendering the same scene
("upper"), and by the base model from the words alone ("lower"). The referee judges all three alike.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmdiff_core.evaluation.toybox.base_model import base_pictures
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import Verdict, judge, look_at, photo_verdict
from mmdiff_core.referee.metrics import (
    CANDIDATES,
    draw_rivals,
    identity_hits,
    iou_curve,
    look_similarity,
    peak_inside,
    swapped,
)
from mmdiff_core.referee.network import Referee
from mmdiff_core.results import Picture
from mmdiff_core.toyworld.bodies.toys import Toy
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import PLACE_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import (
    UNSEEN_PAIRS,
    UNSEEN_STYLED,
    make_toy,
    reference_scene,
    render,
    scene_of,
)
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import GenerateRequest, Recording, Stream, Subject

FIRST_SEED = 900_000
PROMPTS = {1: 200, 2: 200, 3: 100}  # by the number of subjects
QUICK_PROMPTS = {1: 10, 2: 10, 3: 5}
SEEDS = (0, 1)
PHOTOS = 2  # of each subject
UNSEEN_EVERY = 8  # one prompt in so many is of a noun and a place, or a style, that were never trained on together
APART = 10_000  # identities between those of prompts with one subject more
RIVALS_FROM = 50_000  # identities of the rivals start this far behind the first
RIVALS = 24  # known by sight of each noun; 15 of them stand in a line-up
MODEL, UPPER, LOWER = "model", "upper", "lower"


@dataclass(frozen=True)
class Case:
    """One prompt: a scene as it should look, and what the photos of its toys show."""

    count: int
    number: int
    scene: Scene
    views: tuple[tuple[Scene, ...], ...]  # of each toy, PHOTOS

    @property
    def toys(self) -> tuple[Toy, ...]:
        return tuple(placed.toy for placed in self.scene.toys)

    @property
    def nouns(self) -> tuple[str, ...]:
        return tuple(toy.noun for toy in self.toys)


@dataclass(frozen=True)
class Row:
    """What was measured of one picture; lists have an entry per subject. A subject that is not found has failed."""

    kind: str
    count: int
    number: int
    seed: int
    prompt: str
    identity: list[bool]
    swapped: list[bool]  # of pictures of two or more in which all were found, else empty
    present: bool  # every named noun
    place: bool
    style: bool
    peak: list[bool]
    curves: list[list[float]]  # IoU at every threshold
    likeness: list[float] = field(
        default_factory=list
    )  # cosine of the region's identity with the photos'; 0: not found


class Shown(NamedTuple):
    """One picture of a case, for the contact sheets."""

    row: Row
    image: Image.Image
    heatmaps: tuple[np.ndarray, ...]
    regions: Tensor  # (S, H, W) bool


class Outcome(NamedTuple):
    """Everything about one case."""

    case: Case
    photos: tuple[tuple[Image.Image, ...], ...]
    shown: tuple[Shown, ...]


def draw_cases(vocabulary: Vocabulary, prompts: Mapping[int, int], seed: int = FIRST_SEED) -> list[Case]:
    """The prompts of the suite, of toys that no other prompt has; a shorter suite is the beginning of a longer one.

    Toys are identities ``seed``, ``seed + 1``, ... for one subject, ``seed + APART``, ... for two, and so on; no noun
    comes twice in a picture. Captions name the toys and the place, and the style unless it is a photo.
    """
    cases = []
    for count, number in ((count, number) for count, many in prompts.items() for number in range(many)):
        rng = random.Random(f"suite:{seed}:{count}:{number}")
        identities = itertools.count(seed + APART * (count - 1) + count * number)
        cases.append(_case(rng, vocabulary, count, number, identities))
    return cases


def _case(rng: random.Random, vocabulary: Vocabulary, count: int, number: int, identities: Iterator[int]) -> Case:
    nouns, place, style = _combination(rng, vocabulary, count, number % UNSEEN_EVERY == 0)
    toys = [make_toy(noun, next(identities)) for noun in nouns]
    scene = scene_of(rng, toys, place, style, vocabulary)
    while not any(words in scene.caption.text for words in PLACE_WORDS[place]):
        scene = scene_of(rng, toys, place, style, vocabulary)
    views = tuple(tuple(reference_scene(rng, toy, scene, vocabulary) for _ in range(PHOTOS)) for toy in toys)
    return Case(count, number, scene, views)


def _combination(rng: random.Random, vocabulary: Vocabulary, count: int, unseen: bool) -> tuple[list[str], str, str]:
    """Different nouns, a place and a style; ``unseen``: with one of the combinations kept from training, if any."""
    place, style = rng.choice(vocabulary.places), rng.choice(vocabulary.styles)
    nouns = rng.sample(vocabulary.nouns, min(count, len(vocabulary.nouns)))
    kept_back = _kept_back(vocabulary) if unseen else []
    if kept_back:
        noun, place, style = rng.choice(kept_back)
        nouns = [noun, *(other for other in nouns if other != noun)][:count]
        rng.shuffle(nouns)
    return nouns, place, style


def _kept_back(vocabulary: Vocabulary) -> list[tuple[str, str, str]]:
    """Combinations of the vocabulary's words that no training scene has."""
    pairs = ((noun, place, PHOTO) for noun, place in sorted(UNSEEN_PAIRS))
    return [
        (noun, place, style)
        for noun, place, style in (*pairs, *sorted(UNSEEN_STYLED))
        if noun in vocabulary.nouns and place in vocabulary.places and style in vocabulary.styles
    ]


class Suite:
    """Carries out cases with one model and one referee.

    Args:
        personalizer: the model under test.
        referee: the judge.
        cases: of ``draw_cases``.
        seeds: a picture of each case is made per seed.
        seed: of the suite; the rivals in the line-ups follow from it.
        stream: the heatmaps that are measured.
        bounds: whether to judge the real render and the base model's picture of every prompt, too.
        rivals: toys of each noun that the referee knows by sight already; suites that differ in the model alone share
            them.
    """

    def __init__(
        self, personalizer: Personalizer, referee: Referee, seeds: Sequence[int] = SEEDS, seed: int = FIRST_SEED,
        stream: Stream = "image", bounds: bool = True, rivals: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.personalizer, self.referee, self.seeds, self.seed, self.stream = personalizer, referee, seeds, seed, stream
        self.bounds = bounds
        self.size = personalizer.sizes.default
        self._rivals = {} if rivals is None else rivals

    def outcome(self, case: Case, photos: Sequence[Tensor] | None = None) -> Outcome:
        """The pictures of one case, judged. ``photos``, (P, 3, H, W) in [0, 1] of each toy, replace its views."""
        photos = [self.render(views) for views in case.views] if photos is None else photos
        known = [photo_verdict(self.referee, own, noun) for own, noun in zip(photos, case.nouns, strict=True)]
        images = tuple(tuple(map(to_image, own)) for own in photos)
        upper = (self._upper(case, known),) if self.bounds else ()
        shown = (*upper, *self._made(case, known, images))
        return Outcome(case, images, shown)

    def render(self, scenes: Sequence[Scene]) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] of the model's own size."""
        width, height = self.size
        return render(scenes, (height, width)).images

    def _upper(self, case: Case, known: Sequence[Verdict]) -> Shown:
        """The scene itself, rendered. The "heatmaps" are the referee's own, held against the exact masks."""
        width, height = self.size
        drawn = render([case.scene], (height, width))
        verdict = judge(self.referee, drawn.images, [case.nouns])[0]
        maps = _probabilities(self.referee, drawn.images, case.nouns)
        row = self._row(case, UPPER, 0, verdict, known, maps, drawn.masks[0])
        return Shown(row, to_image(drawn.images[0]), maps, drawn.masks[0])

    def _made(self, case: Case, known: Sequence[Verdict], photos: Sequence[tuple[Image.Image, ...]]) -> Iterator[Shown]:
        """Pictures of the model under test, then one of the base model."""
        subjects = tuple(Subject(name, own) for name, own in zip(case.scene.caption.names, photos, strict=True))
        request = GenerateRequest(
            case.scene.caption.text, subjects, seeds=tuple(self.seeds), recording=Recording((self.stream,))
        )
        *_, last = self.personalizer.generate(request)
        assert last.result is not None  # of the last step
        made: list[tuple[str, Stream, Iterable[Picture]]] = [(MODEL, self.stream, last.result)]
        if self.bounds:
            base = base_pictures(self.personalizer, replace(request, seeds=request.seeds[:1]))
            made.append((LOWER, "text", base))
        for kind, stream, pictures in made:
            for picture in pictures:
                assert picture.maps is not None
                yield self.shown(case, kind, picture.seed, picture.image, heatmaps(picture.maps, stream), known)

    def shown(
        self, case: Case, kind: str, seed: int, image: Image.Image, maps: tuple[np.ndarray, ...],
        known: Sequence[Verdict],
    ) -> Shown:  # fmt: skip
        """One picture, judged. ``maps`` are its subjects' heatmaps, ``known`` what the referee says of their photos."""
        verdict = judge(self.referee, pixels_of(image)[None], [case.nouns])[0]
        return Shown(self._row(case, kind, seed, verdict, known, maps, verdict.regions), image, maps, verdict.regions)

    def _row(
        self, case: Case, kind: str, seed: int, verdict: Verdict, known: Sequence[Verdict],
        maps: Sequence[np.ndarray], regions: Tensor,
    ) -> Row:  # fmt: skip
        looks = [torch.cat(parts) for parts in zip(*(toy.look for toy in known), strict=True)]
        pairs = list(zip(maps, regions.numpy(), verdict.found, strict=True))
        return Row(
            kind=kind, count=case.count, number=case.number, seed=seed, prompt=case.scene.caption.text,
            identity=[self._identified(case, s, verdict, known[s]) for s in range(case.count)],
            swapped=swapped(look_similarity(verdict.look, looks)) if case.count > 1 and all(verdict.found) else [],
            present=all(verdict.present),
            place=verdict.place == case.scene.place,
            style=verdict.style == case.scene.style,
            peak=[found and peak_inside(heatmap, region) for heatmap, region, found in pairs],
            curves=[(found * iou_curve(heatmap, region)).round(4).tolist() for heatmap, region, found in pairs],
            likeness=_likeness(verdict, known),
        )  # fmt: skip

    def _identified(self, case: Case, subject: int, verdict: Verdict, known: Verdict) -> bool:
        """Whether the region is nearest to its own toy among 16 of the noun."""
        if not verdict.found[subject]:
            return False
        gallery = self._gallery(case.nouns[subject])
        rng = random.Random(f"rivals:{self.seed}:{case.count}:{case.number}:{subject}")
        line = torch.cat((known.identity, gallery[draw_rivals(rng, CANDIDATES - 1, -1, range(len(gallery)))]))
        return bool(identity_hits(verdict.identity[subject][None], line[None])[0])

    def _gallery(self, noun: str) -> Tensor:
        """Embeddings (RIVALS, E) of other toys of the noun, each from as many photos as a subject has."""
        if noun not in self._rivals:
            first = self.seed + RIVALS_FROM
            self._rivals[noun] = torch.cat([self._rival(noun, first + k) for k in range(RIVALS)])
        return self._rivals[noun]

    def _rival(self, noun: str, identity: int) -> Tensor:
        rng = random.Random(f"rival:{noun}:{identity}")
        toy = make_toy(noun, identity)
        photos = self.render([reference_scene(rng, toy) for _ in range(PHOTOS)])
        return photo_verdict(self.referee, photos, noun).identity


def _likeness(verdict: Verdict, known: Sequence[Verdict]) -> list[float]:
    """How near each region is to the photos of its own toy."""
    near = F.cosine_similarity(verdict.identity, torch.cat([toy.identity for toy in known]))
    return [round(float(x) * found, 4) for x, found in zip(near, verdict.found, strict=True)]


def heatmaps(maps: AttentionMaps, stream: Stream) -> tuple[np.ndarray, ...]:
    """Every subject's heatmap, averaged over steps and layers as the app shows it."""
    return tuple(maps.at(s, stream) for s in range(len(maps.subjects)))


def _probabilities(referee: Referee, pictures: Tensor, nouns: Sequence[str]) -> tuple[np.ndarray, ...]:
    """How likely each named noun is at each square of one picture."""
    with torch.no_grad():
        likely = look_at(referee, pictures).segments[0].float().softmax(0).cpu()
    return tuple(likely[1 + referee.config.nouns.index(noun)].numpy() for noun in nouns)


def pixels_of(image: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0).float() / 255
