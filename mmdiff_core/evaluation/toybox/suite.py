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
from mmdiff_core.referee.judge import Judgement, judge, judge_photos, run_referee
from mmdiff_core.referee.metrics import (
    CANDIDATES,
    attribute_similarity,
    draw_distractors,
    identity_hits,
    iou_curve,
    peak_inside,
    swapped,
)
from mmdiff_core.referee.network import Referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.toyworld.bodies.toys import Toy, make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.render.styles import PHOTO
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.random_scenes import UNSEEN_PAIRS, UNSEEN_STYLED, reference_scene, scene_of
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import GenerateRequest, MapKind, Recording, Subject

FIRST_SEED = 900_000
PROMPTS = {1: 200, 2: 200, 3: 100}  # by the number of subjects
QUICK_PROMPTS = {1: 10, 2: 10, 3: 5}
SEEDS = (0, 1)
PHOTOS = 2  # of each subject
UNSEEN_EVERY = 8  # one prompt in so many is of a noun and a place, or a style, that were never trained on together
APART = 10_000  # identities between those of prompts with one subject more
DISTRACTORS_FROM = 50_000  # identities of the rivals start this far behind the first
DISTRACTORS = 24  # known by sight of each noun; 15 of them stand in a line-up
MODEL, UPPER, LOWER = "model", "upper", "lower"


@dataclass(frozen=True)
class ToyboxCase:
    """One prompt: a scene as it should look, and what the photos of its toys show."""

    count: int
    number: int
    scene: Scene
    views: tuple[tuple[Scene, ...], ...]  # of each toy, PHOTOS

    @property
    def toys(self) -> tuple[Toy, ...]:
        return tuple(placed.toy for placed in self.scene.toys)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(toy.class_name for toy in self.toys)


@dataclass(frozen=True)
class ToyboxScores:
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


class JudgedImage(NamedTuple):
    """One picture of a case, for the contact sheets."""

    row: ToyboxScores
    image: Image.Image
    heatmaps: tuple[np.ndarray, ...]
    regions: Tensor  # (S, H, W) bool


class CaseOutcome(NamedTuple):
    """Everything about one case."""

    case: ToyboxCase
    photos: tuple[tuple[Image.Image, ...], ...]
    shown: tuple[JudgedImage, ...]


def draw_toybox_cases(vocabulary: Vocabulary, prompts: Mapping[int, int], seed: int = FIRST_SEED) -> list[ToyboxCase]:
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


def _case(rng: random.Random, vocabulary: Vocabulary, count: int, number: int, identities: Iterator[int]) -> ToyboxCase:
    classes, background, style = _combination(rng, vocabulary, count, number % UNSEEN_EVERY == 0)
    toys = [make_toy(class_name, next(identities)) for class_name in classes]
    scene = scene_of(rng, toys, background, style, vocabulary)
    while not any(words in scene.caption.text for words in BACKGROUND_WORDS[background]):
        scene = scene_of(rng, toys, background, style, vocabulary)
    views = tuple(tuple(reference_scene(rng, toy, scene, vocabulary) for _ in range(PHOTOS)) for toy in toys)
    return ToyboxCase(count, number, scene, views)


def _combination(rng: random.Random, vocabulary: Vocabulary, count: int, unseen: bool) -> tuple[list[str], str, str]:
    """Different nouns, a place and a style; ``unseen``: with one of the combinations kept from training, if any."""
    background, style = rng.choice(vocabulary.backgrounds), rng.choice(vocabulary.styles)
    classes = rng.sample(vocabulary.classes, min(count, len(vocabulary.classes)))
    kept_back = _kept_back(vocabulary) if unseen else []
    if kept_back:
        class_name, background, style = rng.choice(kept_back)
        classes = [class_name, *(other for other in classes if other != class_name)][:count]
        rng.shuffle(classes)
    return classes, background, style


def _kept_back(vocabulary: Vocabulary) -> list[tuple[str, str, str]]:
    """Combinations of the vocabulary's words that no training scene has."""
    pairs = ((class_name, background, PHOTO) for class_name, background in sorted(UNSEEN_PAIRS))
    return [
        (class_name, background, style)
        for class_name, background, style in (*pairs, *sorted(UNSEEN_STYLED))
        if class_name in vocabulary.classes and background in vocabulary.backgrounds and style in vocabulary.styles
    ]


class ToyboxSuite:
    """Carries out cases with one model and one referee.

    Args:
        personalizer: the model under test.
        referee: the judge.
        cases: of ``draw_toybox_cases``.
        seeds: a picture of each case is made per seed.
        seed: of the suite; the rivals in the line-ups follow from it.
        stream: the heatmaps that are measured.
        bounds: whether to judge the real render and the base model's picture of every prompt, too.
        rivals: toys of each noun that the referee knows by sight already; suites that differ in the model alone share
            them.
    """

    def __init__(
        self, personalizer: Personalizer, referee: Referee, seeds: Sequence[int] = SEEDS, seed: int = FIRST_SEED,
        stream: MapKind = "image", bounds: bool = True, distractors: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.personalizer, self.referee, self.seeds, self.seed, self.stream = personalizer, referee, seeds, seed, stream
        self.bounds = bounds
        self.size = personalizer.sizes.default
        self._distractors = {} if distractors is None else distractors

    def outcome(self, case: ToyboxCase, photos: Sequence[Tensor] | None = None) -> CaseOutcome:
        """The pictures of one case, judged. ``photos``, (P, 3, H, W) in [0, 1] of each toy, replace its views."""
        photos = [self.render(views) for views in case.views] if photos is None else photos
        known = [
            judge_photos(self.referee, own, class_name) for own, class_name in zip(photos, case.classes, strict=True)
        ]
        images = tuple(tuple(map(to_image, own)) for own in photos)
        upper = (self._upper(case, known),) if self.bounds else ()
        shown = (*upper, *self._made(case, known, images))
        return CaseOutcome(case, images, shown)

    def render(self, scenes: Sequence[Scene]) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] of the model's own size."""
        width, height = self.size
        return render(scenes, (height, width)).images

    def _upper(self, case: ToyboxCase, known: Sequence[Judgement]) -> JudgedImage:
        """The scene itself, rendered. The "heatmaps" are the referee's own, held against the exact masks."""
        width, height = self.size
        drawn = render([case.scene], (height, width))
        judgement = judge(self.referee, drawn.images, [case.classes])[0]
        maps = _probabilities(self.referee, drawn.images, case.classes)
        row = self._row(case, UPPER, 0, judgement, known, maps, drawn.masks[0])
        return JudgedImage(row, to_image(drawn.images[0]), maps, drawn.masks[0])

    def _made(
        self, case: ToyboxCase, known: Sequence[Judgement], photos: Sequence[tuple[Image.Image, ...]]
    ) -> Iterator[JudgedImage]:
        """Pictures of the model under test, then one of the base model."""
        subjects = tuple(Subject(name, own) for name, own in zip(case.scene.caption.names, photos, strict=True))
        request = GenerateRequest(
            case.scene.caption.text, subjects, seeds=tuple(self.seeds), recording=Recording((self.stream,))
        )
        *_, last = self.personalizer.generate(request)
        assert last.result is not None  # of the last step
        made: list[tuple[str, MapKind, Iterable[GeneratedImage]]] = [(MODEL, self.stream, last.result)]
        if self.bounds:
            base = base_pictures(self.personalizer, replace(request, seeds=request.seeds[:1]))
            made.append((LOWER, "text", base))
        for kind, stream, pictures in made:
            for picture in pictures:
                assert picture.maps is not None
                yield self.shown(case, kind, picture.seed, picture.image, subject_heatmaps(picture.maps, stream), known)

    def shown(
        self, case: ToyboxCase, kind: str, seed: int, image: Image.Image, maps: tuple[np.ndarray, ...],
        known: Sequence[Judgement],
    ) -> JudgedImage:  # fmt: skip
        """One picture, judged. ``maps`` are its subjects' heatmaps, ``known`` what the referee says of their photos."""
        judgement = judge(self.referee, pixels_of(image)[None], [case.classes])[0]
        return JudgedImage(
            self._row(case, kind, seed, judgement, known, maps, judgement.regions), image, maps, judgement.regions
        )

    def _row(
        self, case: ToyboxCase, kind: str, seed: int, judgement: Judgement, known: Sequence[Judgement],
        maps: Sequence[np.ndarray], regions: Tensor,
    ) -> ToyboxScores:  # fmt: skip
        shown = [torch.cat(logits) for logits in zip(*(toy.attributes for toy in known), strict=True)]
        comparable = case.count > 1 and all(judgement.found)
        swaps = swapped(attribute_similarity(judgement.attributes, shown)) if comparable else []
        pairs = list(zip(maps, regions.numpy(), judgement.found, strict=True))
        return ToyboxScores(
            kind=kind, count=case.count, number=case.number, seed=seed, prompt=case.scene.caption.text,
            identity=[self._identified(case, s, judgement, known[s]) for s in range(case.count)],
            swapped=swaps,
            present=all(judgement.present),
            place=judgement.background == case.scene.background,
            style=judgement.style == case.scene.style,
            peak=[found and peak_inside(heatmap, region) for heatmap, region, found in pairs],
            curves=[(found * iou_curve(heatmap, region)).round(4).tolist() for heatmap, region, found in pairs],
            likeness=_likeness(judgement, known),
        )  # fmt: skip

    def _identified(self, case: ToyboxCase, subject: int, judgement: Judgement, known: Judgement) -> bool:
        """Whether the region is nearest to its own toy among 16 of the noun."""
        if not judgement.found[subject]:
            return False
        gallery = self._gallery(case.classes[subject])
        rng = random.Random(f"rivals:{self.seed}:{case.count}:{case.number}:{subject}")
        line = torch.cat((known.identity, gallery[draw_distractors(rng, CANDIDATES - 1, -1, range(len(gallery)))]))
        return bool(identity_hits(judgement.identity[subject][None], line[None])[0])

    def _gallery(self, class_name: str) -> Tensor:
        """Embeddings (RIVALS, E) of other toys of the noun, each from as many photos as a subject has."""
        if class_name not in self._distractors:
            first = self.seed + DISTRACTORS_FROM
            self._distractors[class_name] = torch.cat([self._rival(class_name, first + k) for k in range(DISTRACTORS)])
        return self._distractors[class_name]

    def _rival(self, class_name: str, identity: int) -> Tensor:
        rng = random.Random(f"rival:{class_name}:{identity}")
        toy = make_toy(class_name, identity)
        photos = self.render([reference_scene(rng, toy) for _ in range(PHOTOS)])
        return judge_photos(self.referee, photos, class_name).identity


def _likeness(judgement: Judgement, known: Sequence[Judgement]) -> list[float]:
    """How near each region is to the photos of its own toy."""
    near = F.cosine_similarity(judgement.identity, torch.cat([toy.identity for toy in known]))
    return [round(float(x) * found, 4) for x, found in zip(near, judgement.found, strict=True)]


def subject_heatmaps(maps: AttentionMaps, stream: MapKind) -> tuple[np.ndarray, ...]:
    """Every subject's heatmap, averaged over steps and layers as the app shows it."""
    return tuple(maps.at(s, stream) for s in range(len(maps.subjects)))


def _probabilities(referee: Referee, pictures: Tensor, classes: Sequence[str]) -> tuple[np.ndarray, ...]:
    """How likely each named noun is at each square of one picture."""
    with torch.no_grad():
        likely = run_referee(referee, pictures).segments[0].float().softmax(0).cpu()
    return tuple(likely[1 + referee.config.classes.index(class_name)].numpy() for class_name in classes)


def pixels_of(image: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0).float() / 255
