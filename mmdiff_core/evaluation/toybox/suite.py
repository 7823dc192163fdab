"""The Toybox suite: a model generates the images of its prompts, and the referee judges them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from PIL import Image
from torch import Tensor

from mmdiff_core.evaluation.toybox.base_model import base_images
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, SEEDS, ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, JudgedImage, ToyboxJudge
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.judge import Judgement
from mmdiff_core.referee.network import Referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import Box, GenerateRequest, MapKind, Recording, Subject


@dataclass(frozen=True)
class Sampling:
    """How the images are sampled; None is the model's default. ``fast`` is its preset for few steps."""

    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    fast: bool = False

    def changes(self, personalizer: Personalizer) -> dict[str, Any]:
        """Return the fields of a request that say so.

        Raises:
            SettingsError: the model has no preset for few steps.
        """
        fields: dict[str, Any] = {"steps": self.steps, "guidance": self.guidance, "scheduler": self.scheduler}
        if not self.fast:
            return fields
        request = personalizer.in_few_steps(GenerateRequest("", **fields))
        return {name: getattr(request, name) for name in fields}


DEFAULT_SAMPLING = Sampling()


class ToyboxSuite(ToyboxJudge):
    """Carries out cases with one model and one referee.

    Args:
        personalizer: the model under test.
        referee: judges the images.
        seeds: of the images of each case.
        seed: of the suite; the distractors in the galleries follow from it.
        map_kind: the kind of heatmap to measure.
        bounds: whether to judge the real render and the base model's image of every prompt, too.
        distractors: as for :class:`ToyboxJudge`.
        changes: fields of the requests that differ from the defaults.
    """

    def __init__(
        self, personalizer: Personalizer, referee: Referee, seeds: Sequence[int] = SEEDS, seed: int = FIRST_SEED,
        map_kind: MapKind = "image", bounds: bool = True, distractors: dict[str, Tensor] | None = None,
        changes: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        super().__init__(referee, personalizer.sizes.default, seed, bounds, distractors)
        self.personalizer, self.seeds, self.map_kind, self.changes = personalizer, seeds, map_kind, changes

    def images_of(
        self, case: ToyboxCase, photos: Sequence[tuple[Image.Image, ...]]
    ) -> Iterator[tuple[str, GeneratedImage, MapKind]]:
        """Yield images of the model under test, then one of the base model."""
        request = self.request(case, photos)
        yield from ((MODEL, generated, self.map_kind) for generated in self.generate(request))
        if self.bounds:
            first = replace(request, seeds=request.seeds[:1], **DEFAULT_SAMPLING.changes(self.personalizer))
            yield from ((LOWER, generated, "text") for generated in base_images(self.personalizer, first))

    def request(
        self, case: ToyboxCase, photos: Sequence[tuple[Image.Image, ...]], regions: Sequence[Box | None] | None = None
    ) -> GenerateRequest:
        """Return the request for a case's images; ``regions`` limit where each subject may be."""
        caption = case.scene.caption
        named = zip(caption.names, photos, regions or (None,) * case.count, strict=True)
        subjects = tuple(Subject(name, own, region=region) for name, own, region in named)
        recording = Recording((self.map_kind,))
        return GenerateRequest(caption.text, subjects, seeds=tuple(self.seeds), recording=recording, **self.changes)

    def generate(self, request: GenerateRequest) -> tuple[GeneratedImage, ...]:
        """Generate an image per seed."""
        *_, last = self.personalizer.generate(request)
        assert last.result is not None  # of the last step
        return last.result

    def judge_image(self, case: ToyboxCase, generated: GeneratedImage, known: Sequence[Judgement]) -> JudgedImage:
        """Judge an image of the model under test; ``known`` are the judgements of the subjects' photos."""
        return self.judge_generated(case, MODEL, generated, self.map_kind, known)
