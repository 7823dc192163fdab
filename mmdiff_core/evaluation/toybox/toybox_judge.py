"""How the images of a case are judged, whoever made them; and the records of it.

Every prompt is carried out up to three times: by the model under test from photos ("model"), by rendering the same
scene ("upper"), and by the base model from the words alone ("lower").
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, PHOTOS, ToyboxCase
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.referee.judge import Judgement, judge, judge_photos, run_referee
from mmdiff_core.referee.metrics import (
    CANDIDATES,
    attribute_similarity,
    body_count,
    draw_distractors,
    identity_hits,
    iou_curve,
    peak_inside,
    swapped,
)
from mmdiff_core.referee.network import Referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.toyworld.bodies.toys import make_toy
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.random_scenes import reference_scene
from mmdiff_core.toyworld.scenes.scene import Scene
from mmdiff_core.types import MapKind

DISTRACTORS_FROM = 50_000  # identities of the distractors start this far behind the first
DISTRACTORS = 24  # per class, of which each gallery has 15
MODEL, UPPER, LOWER = "model", "upper", "lower"


@dataclass(frozen=True)
class ToyboxScores:
    """The measures of one image, as rows.jsonl has them. Lists have an entry per subject; one not found has failed."""

    kind: str
    count: int
    number: int
    seed: int
    prompt: str
    identity: list[bool]
    swapped: list[bool]  # of images with two subjects or more in which all were found, else empty
    present: bool  # every named class
    place: bool  # the background
    style: bool
    peak: list[bool]  # of images with maps, else empty, as the curves
    curves: list[list[float]]  # IoU at every threshold
    likeness: list[float] = field(default_factory=list)  # cosine of the identities of region and photos; 0: not found
    twice: list[bool] = field(default_factory=list)  # the subject's region is two bodies or more


class JudgedImage(NamedTuple):
    """One image of a case."""

    scores: ToyboxScores
    image: Image.Image
    heatmaps: tuple[np.ndarray, ...]
    regions: Tensor  # (S, H, W) bool


class CaseOutcome(NamedTuple):
    """The photos and the judged images of a case."""

    case: ToyboxCase
    photos: tuple[tuple[Image.Image, ...], ...]
    images: tuple[JudgedImage, ...]


class ToyboxJudge(ABC):
    """Has the referee judge the images of cases.

    Args:
        referee: judges the images.
        size: (width, height) of photos and renders.
        seed: of the suite; the distractors in the galleries follow from it.
        bounds: whether to judge the real render of every prompt, too.
        distractors: embeddings of each class's distractors so far; suites that differ in the model alone share them.
    """

    def __init__(
        self, referee: Referee, size: tuple[int, int], seed: int = FIRST_SEED, bounds: bool = True,
        distractors: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.referee, self.size, self.seed, self.bounds = referee, size, seed, bounds
        self._distractors = {} if distractors is None else distractors

    @abstractmethod
    def images_of(
        self, case: ToyboxCase, photos: Sequence[tuple[Image.Image, ...]]
    ) -> Iterator[tuple[str, GeneratedImage, MapKind]]:
        """Yield the images of a case, each with who made it (``MODEL`` or ``LOWER``) and the map to measure."""

    def run(self, case: ToyboxCase, photos: Sequence[Tensor] | None = None) -> CaseOutcome:
        """Judge the images of a case.

        Args:
            case: of ``draw_toybox_cases``.
            photos: (P, 3, H, W) in [0, 1] of each toy; by default its views are rendered.
        """
        photos = self.render_photos(case) if photos is None else photos
        known = self.judge_photos(case, photos)
        images = tuple(tuple(map(to_image, own)) for own in photos)
        upper = (self._judge_render(case, known),) if self.bounds else ()
        made = (self.judge_generated(case, *one, known) for one in self.images_of(case, images))
        return CaseOutcome(case, images, (*upper, *made))

    def render(self, scenes: Sequence[Scene]) -> Tensor:
        """Render scenes (B, 3, H, W) in [0, 1] at the model's own size."""
        width, height = self.size
        return render(scenes, (height, width)).images

    def render_photos(self, case: ToyboxCase) -> tuple[Tensor, ...]:
        """Render the photos of each toy."""
        return tuple(self.render(views) for views in case.views)

    def judge_photos(self, case: ToyboxCase, photos: Sequence[Tensor]) -> list[Judgement]:
        """Judge the photos of each toy."""
        pairs = zip(photos, case.classes, strict=True)
        return [judge_photos(self.referee, own, class_name) for own, class_name in pairs]

    def _judge_render(self, case: ToyboxCase, known: Sequence[Judgement]) -> JudgedImage:
        """Judge the rendered scene. Its "heatmaps" are the referee's segmentation, measured against the exact masks."""
        width, height = self.size
        rendered = render([case.scene], (height, width))
        judgement = judge(self.referee, rendered.images, [case.classes])[0]
        maps = _segmentation(self.referee, rendered.images, case.classes)
        scores = self._scores(case, UPPER, 0, judgement, known, maps, rendered.masks[0])
        return JudgedImage(scores, to_image(rendered.images[0]), maps, rendered.masks[0])

    def judge_generated(
        self, case: ToyboxCase, kind: str, generated: GeneratedImage, map_kind: MapKind, known: Sequence[Judgement]
    ) -> JudgedImage:
        """Judge an image; ``known`` are the judgements of the subjects' photos. Without maps none is measured."""
        judgement = judge(self.referee, pixels_of(generated.image)[None], [case.classes])[0]
        maps = () if generated.maps is None else subject_heatmaps(generated.maps, map_kind)
        scores = self._scores(case, kind, generated.seed, judgement, known, maps, judgement.regions)
        return JudgedImage(scores, generated.image, maps, judgement.regions)

    def _scores(
        self, case: ToyboxCase, kind: str, seed: int, judgement: Judgement, known: Sequence[Judgement],
        maps: Sequence[np.ndarray], regions: Tensor,
    ) -> ToyboxScores:  # fmt: skip
        shown = [torch.cat(logits) for logits in zip(*(toy.attributes for toy in known), strict=True)]
        comparable = case.count > 1 and all(judgement.found)
        pairs = list(zip(maps, regions.numpy(), judgement.found, strict=True)) if maps else []
        near = F.cosine_similarity(judgement.identity, torch.cat([toy.identity for toy in known]))
        return ToyboxScores(
            kind=kind, count=case.count, number=case.number, seed=seed, prompt=case.scene.caption.text,
            identity=[self._identified(case, s, judgement, known[s]) for s in range(case.count)],
            swapped=swapped(attribute_similarity(judgement.attributes, shown)) if comparable else [],
            present=all(judgement.present),
            place=judgement.background == case.scene.background,
            style=judgement.style == case.scene.style,
            peak=[found and peak_inside(heatmap, region) for heatmap, region, found in pairs],
            curves=[(found * iou_curve(heatmap, region)).round(4).tolist() for heatmap, region, found in pairs],
            likeness=[round(float(x) * found, 4) for x, found in zip(near, judgement.found, strict=True)],
            twice=[body_count(region) > 1 for region in judgement.regions.numpy()],
        )  # fmt: skip

    def _identified(self, case: ToyboxCase, subject: int, judgement: Judgement, known: Judgement) -> bool:
        """Whether a region is nearest to its own identity among 16 of the class."""
        if not judgement.found[subject]:
            return False
        others = self._embeddings_of_distractors(case.classes[subject])
        rng = random.Random(f"rivals:{self.seed}:{case.count}:{case.number}:{subject}")
        gallery = torch.cat((known.identity, others[draw_distractors(rng, CANDIDATES - 1, -1, range(len(others)))]))
        return bool(identity_hits(judgement.identity[subject][None], gallery[None])[0])

    def _embeddings_of_distractors(self, class_name: str) -> Tensor:
        """Return embeddings (DISTRACTORS, E) of other identities of the class, each from PHOTOS photos."""
        if class_name not in self._distractors:
            first = self.seed + DISTRACTORS_FROM
            embeddings = [self._embedding(class_name, first + k) for k in range(DISTRACTORS)]
            self._distractors[class_name] = torch.cat(embeddings)
        return self._distractors[class_name]

    def _embedding(self, class_name: str, identity: int) -> Tensor:
        rng = random.Random(f"rival:{class_name}:{identity}")
        toy = make_toy(class_name, identity)
        photos = self.render([reference_scene(rng, toy) for _ in range(PHOTOS)])
        return judge_photos(self.referee, photos, class_name).identity


def subject_heatmaps(maps: AttentionMaps, map_kind: MapKind) -> tuple[np.ndarray, ...]:
    """Return every subject's heatmap, averaged over steps and layers."""
    return tuple(maps.at(s, map_kind) for s in range(len(maps.subjects)))


def pixels_of(image: Image.Image) -> Tensor:
    """Turn an image into a tensor (3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0).float() / 255


def _segmentation(referee: Referee, images: Tensor, classes: Sequence[str]) -> tuple[np.ndarray, ...]:
    """Return the probability of each named class at each square of one image."""
    with torch.no_grad():
        probabilities = run_referee(referee, images).segments[0].float().softmax(0).cpu()
    return tuple(probabilities[1 + referee.config.classes.index(class_name)].numpy() for class_name in classes)
