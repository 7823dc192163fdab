"""Comparison of solvers, steps and guidance scales: which make good images fastest.

A candidate's images of two subjects are compared with those of the reference, which takes many steps from the same
seeds: by the referee's measures, and by their distance in pixels, which is the solver's error with any weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, SchedulerMixin, UniPCMultistepScheduler
from PIL import Image

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.toybox import Toybox
from mmdiff_core.benchmarks.timing import Clock, timed
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, CaseOutcome
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.output.markdown import markdown_table
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import Referee
from mmdiff_core.types import GenerateRequest, Subject

Solver = str
SOLVERS: Mapping[Solver, tuple[type[SchedulerMixin], Mapping[str, Any]]] = {
    "stored": (DPMSolverMultistepScheduler, {}),
    "dpm2m": (DPMSolverMultistepScheduler, {"flow_shift": 1.0}),
    "dpm2m shift 2": (DPMSolverMultistepScheduler, {"flow_shift": 2.0}),
    "dpm2m shift 3": (DPMSolverMultistepScheduler, {"flow_shift": 3.0}),
    "dpm3m": (DPMSolverMultistepScheduler, {"solver_order": 3}),
    "euler": (DPMSolverMultistepScheduler, {"solver_order": 1}),
    "unipc": (UniPCMultistepScheduler, {}),
}
CANDIDATES = (
    *(f"stored:{steps}:3" for steps in (40, 20, 10, 8, 6)),
    *(f"{solver}:8:3" for solver in ("dpm2m", "dpm2m shift 3", "unipc")),
    *(f"stored:8:{guidance}" for guidance in (2, 4)),
)
MEASURES = ("identity", "present", "place", "swapped")


@dataclass(frozen=True)
class SamplingCandidate:
    """A solver with its steps and guidance scale."""

    solver: Solver
    steps: int
    guidance: float

    @classmethod
    def read(cls, text: str) -> SamplingCandidate:
        """Read ``dpm2m:8:2.5``: solver, steps and guidance scale.

        Raises:
            SettingsError: it is written in another way, or there is no such solver.
        """
        try:
            solver, steps, guidance = text.split(":")
            candidate = cls(solver, int(steps), float(guidance))
        except ValueError as error:
            raise SettingsError(f'"{text}" cannot be read: write it as in dpm2m:8:2.5.') from error
        if solver not in SOLVERS:
            raise SettingsError(f'There is no solver "{solver}": choose among {", ".join(SOLVERS)}.')
        return candidate

    @property
    def name(self) -> str:
        return f"{self.solver}, {self.steps} steps, guidance {self.guidance:g}"


@dataclass(frozen=True)
class PresetScore:
    """What was measured of a candidate."""

    candidate: SamplingCandidate
    seconds: float  # per image, median
    distance: float  # to the reference, root mean square in steps of 255
    measures: Mapping[str, float]  # means, of MEASURES


def with_candidate(backbone: Toybox, candidate: SamplingCandidate) -> Toybox:
    """Return the model with the candidate as its default."""
    kind, changes = SOLVERS[candidate.solver]
    scheduler = kind.from_config({**backbone.scheduler.config, **changes})
    return replace(backbone, scheduler=scheduler, defaults=Defaults(candidate.steps, candidate.guidance))


@torch.no_grad()
def compare_candidates(
    backbone: Toybox, adapter: MMDiffAdapter, referee: Referee, cases: Sequence[ToyboxCase],
    candidates: Sequence[SamplingCandidate], clock: Clock = "wall",
) -> Iterator[PresetScore]:  # fmt: skip
    """Yield the score of each candidate; the first one is the reference."""
    suite = ToyboxSuite(Personalizer(backbone, adapter), referee, seeds=(0,), bounds=False)
    reference: list[Image.Image] = []
    for candidate in candidates:
        suite.personalizer = Personalizer(with_candidate(backbone, candidate), adapter)
        outcomes = [suite.run(case) for case in cases]
        judged = [one for outcome in outcomes for one in outcome.images if one.scores.kind == MODEL]
        images = [one.image for one in judged]
        reference = reference or images
        means = {name: _mean([getattr(one.scores, name) for one in judged]) for name in MEASURES}
        seconds = float(np.median([_seconds(suite.personalizer, outcome, clock) for outcome in outcomes]))
        yield PresetScore(candidate, seconds, _distance(images, reference), means)


def _seconds(personalizer: Personalizer, outcome: CaseOutcome, clock: Clock) -> float:
    """Return the seconds of a recorded image, photos included."""
    caption = outcome.case.scene.caption
    subjects = tuple(Subject(name, photos) for name, photos in zip(caption.names, outcome.photos, strict=True))
    request = GenerateRequest(caption.text, subjects)
    return timed(lambda: list(personalizer.generate(request)), personalizer.backbone.device, clock)


def _mean(values: Sequence[Any]) -> float:
    flat = [float(x) for value in values for x in (value if isinstance(value, list) else [value])]
    return float(np.mean(flat)) if flat else float("nan")


def _distance(images: Sequence[Image.Image], reference: Sequence[Image.Image]) -> float:
    pairs = zip(images, reference, strict=True)
    errors = [np.asarray(a, dtype=float) - np.asarray(b, dtype=float) for a, b in pairs]
    return float(np.sqrt(np.mean(np.square(errors))))


def presets_markdown(scores: Sequence[PresetScore]) -> str:
    """Return a row per candidate, the reference first."""
    rows = [
        [
            score.candidate.name,
            f"{score.seconds:.2f}",
            f"{score.distance:.1f}",
            *(f"{score.measures[name]:.2f}" for name in MEASURES),
        ]
        for score in scores
    ]
    return markdown_table(["sampling", "s per image", "distance", *MEASURES], rows) + "\n"


def presets_json(scores: Sequence[PresetScore]) -> str:
    """Return the scores as JSON."""
    return json.dumps([asdict(score) for score in scores], indent=2) + "\n"
