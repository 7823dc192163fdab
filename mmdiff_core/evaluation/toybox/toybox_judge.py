"""The Toybox suite: generates the images of its prompts and has the referee judge them.

Every prompt is carried out three times: by the model under test from photos ("model"), by rendering the same scene
("upper"), and by the base model from the words alone ("lower").
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmdiff_core.evaluation.toybox.base_model import base_images
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, PHOTOS, SEEDS, ToyboxCase
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.pipeline import Personalizer
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
from mmdiff_core.types import Box, GenerateRequest, MapKind, Recording, Subject

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
    peak: list[bool]
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


class ToyboxSuite:
    """Carries out cases with one model and one referee.

    Args:
        personalizer: the model under test.
        referee: judges the images.
        seeds: of the images of each case.
        seed: of the suite; the distractors in the galleries follow from it.
        stream: the kind of heatmap to measure.
        bounds: whether to judge the real render and the base model's image of every prompt, too.
        distractors: embeddings of each class's distractors so far; suites that differ in the model alone share them.
    """

    def __init__(
        self, personalizer: Personalizer, referee: Referee, seeds: Sequence[int] = SEEDS, seed: int = FIRST_SEED,
        map_kind: MapKind = "image", bounds: bool = True, distractors: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.personalizer, self.referee, self.seeds, self.seed, self.map_kind = (
            personalizer,
            referee,
            seeds,
            seed,
            map_kind,
        )
        self.bounds = bounds
        self.size = personalizer.sizes.default
        self._distractors = {} if distractors is None else distractors

    def run(self, case: ToyboxCase, photos: Sequence[Tensor] | None = None) -> CaseOutcome:
        """Generate and judge the images of a case.

        Args:
            case: of ``draw_toybox_cases``.
            photos: (P, 3, H, W) in [0, 1] of each toy; by default its views are rendered.
        """
        photos = self.render_photos(case) if photos is None else photos
        known = self.judge_photos(case, photos)
        images = tuple(tuple(map(to_image, own)) for own in photos)
        upper = (self._judge_render(case, known),) if self.bounds else ()
        return CaseOutcome(case, images, (*upper, *self._judge_all(case, known, images)))

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

    def request(
        self, case: ToyboxCase, photos: Sequence[tuple[Image.Image, ...]], regions: Sequence[Box | None] | None = None
    ) -> GenerateRequest:
        """Return the request for a case's images; ``regions`` limit where each subject may be."""
        caption = case.scene.caption
        named = zip(caption.names, photos, regions or (None,) * case.count, strict=True)
        subjects = tuple(Subject(name, own, region=region) for name, own, region in named)
        return GenerateRequest(caption.text, subjects, seeds=tuple(self.seeds), recording=Recording((self.map_kind,)))

    def generate(self, request: GenerateRequest) -> tuple[GeneratedImage, ...]:
        """Generate an image per seed."""
        *_, last = self.personalizer.generate(request)
        assert last.result is not None  # of the last step
        return last.result

    def judge_image(self, case: ToyboxCase, generated: GeneratedImage, known: Sequence[Judgement]) -> JudgedImage:
        """Judge an image of the model under test; ``known`` are the judgements of the subjects' photos."""
        return self._judge_generated(case, MODEL, generated, self.map_kind, known)

    def _judge_render(self, case: ToyboxCase, known: Sequence[Judgement]) -> JudgedImage:
        """Judge the rendered scene. Its "heatmaps" are the referee's segmentation, measured against the exact masks."""
        width, height = self.size
        rendered = render([case.scene], (height, width))
        judgement = judge(self.referee, rendered.images, [case.classes])[0]
        maps = _segmentation(self.referee, rendered.images, case.classes)
        scores = self._scores(case, UPPER, 0, judgement, known, maps, rendered.masks[0])
        return JudgedImage(scores, to_image(rendered.images[0]), maps, rendered.masks[0])

    def _judge_all(
        self, case: ToyboxCase, known: Sequence[Judgement], photos: Sequence[tuple[Image.Image, ...]]
    ) -> Iterator[JudgedImage]:
        """Judge images of the model under test, then one of the base model."""
        request = self.request(case, photos)
        for generated in self.generate(request):
            yield self.judge_image(case, generated, known)
        if self.bounds:
            for generated in base_images(self.personalizer, replace(request, seeds=request.seeds[:1])):
                yield self._judge_generated(case, LOWER, generated, "text", known)

    def _judge_generated(
        self, case: ToyboxCase, kind: str, generated: GeneratedImage, map_kind: MapKind, known: Sequence[Judgement]
    ) -> JudgedImage:
        assert generated.maps is not None
        judgement = judge(self.referee, pixels_of(generated.image)[None], [case.classes])[0]
        maps = subject_heatmaps(generated.maps, map_kind)
        scores = self._scores(case, kind, generated.seed, judgement, known, maps, judgement.regions)
        return JudgedImage(scores, generated.image, maps, judgement.regions)

    def _scores(
        self, case: ToyboxCase, kind: str, seed: int, judgement: Judgement, known: Sequence[Judgement],
        maps: Sequence[np.ndarray], regions: Tensor,
    ) -> ToyboxScores:  # fmt: skip
        shown = [torch.cat(logits) for logits in zip(*(toy.attributes for toy in known), strict=True)]
        comparable = case.count > 1 and all(judgement.found)
        pairs = list(zip(maps, regions.numpy(), judgement.found, strict=True))
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
