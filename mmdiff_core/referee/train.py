"""Training runs of the referee, and the measurement of its accuracy.

RUN/
    pool/                     the cached renders
    coarse/ fine/ presence/   a phase each: state.pt, log.jsonl, sheets/, referee.safetensors
    referee.safetensors       the averaged weights of the last phase in half precision, as they ship
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mmdiff_core.atomic_files import write_text
from mmdiff_core.errors import SettingsError
from mmdiff_core.output.markdown import estimate_cell, markdown_table
from mmdiff_core.referee.accuracy import TARGET_ACCURACY, measure_accuracy
from mmdiff_core.referee.cached_renders import SHARD, CachedRenders, Renders, render_samples
from mmdiff_core.referee.metrics import Estimate
from mmdiff_core.referee.network import FILE, Referee, RefereeConfig, load_referee
from mmdiff_core.referee.stage import RefereeStage, copy_matching
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.trainer import Trainer

logger = logging.getLogger(__name__)

CHECK_SIZES = (192, 96)
HELD_OUT_SCENES = 120  # measured after each phase


@dataclass(frozen=True)
class Phase:
    """A phase of the training. Images have ``scale`` times the referee's size; half of a ``batch`` are photos."""

    name: str
    scale: float
    steps: int
    batch: int
    lr: float
    classes: tuple[int, ...]  # per batch, see RefereeStage
    only: tuple[str, ...] = ()  # submodules of the network to train; all if empty


# Outlines teach the classes, and small images show them in a quarter of the time. The head for their presence is
# trained again at the end, when nothing else changes any more.
PHASES = (
    Phase("coarse", 0.5, 5000, 64, 2e-3, (24,)),
    Phase("fine", 1.0, 12_000, 64, 1e-3, (2, 4, 24)),
    Phase("presence", 1.0, 600, 64, 3e-3, (24,), only=("nouns", "presence")),
)


@dataclass(frozen=True)
class RefereeTrainingOptions:
    """A run through all ``phases`` on ``scenes`` cached scenes; ``start`` is a referee to continue from."""

    folder: Path
    vocabulary: Vocabulary = WHOLE_WORLD
    start: Path | None = None
    minutes: float | None = None  # per phase
    device: str = "cpu"
    phases: tuple[Phase, ...] = PHASES
    scenes: int = 30_000
    seed: int = 0


@dataclass(frozen=True)
class RefereeCheckOptions:
    """A measurement of the referee in ``file``, written to ``folder``."""

    file: Path
    folder: Path
    vocabulary: Vocabulary = WHOLE_WORLD
    scenes: int = 600
    device: str = "cpu"
    seed: int = 0


def train_referee(options: RefereeTrainingOptions) -> Mapping[str, float]:
    """Train a referee, or continue; return the accuracy after the last phase that was reached.

    Raises:
        SettingsError: a number is too small.
        ModelError, CheckpointError: the referee to start from is missing or broken.
    """
    if options.scenes < 1 or any(phase.steps < 1 or phase.batch < 8 for phase in options.phases):
        raise SettingsError("Training needs at least 1 step, 1 scene and 8 images per step: raise the numbers.")
    torch.manual_seed(options.seed)
    config = RefereeConfig.of(options.vocabulary)
    dataset = CachedRenders(options.folder / "pool", options.vocabulary, config, options.seed)
    rng = random.Random(f"referee held out:{options.seed}")
    held_out = render_samples(rng, HELD_OUT_SCENES, options.vocabulary, config, "held_out", device=options.device)
    start, measured = options.start, dict[str, float]()
    for phase in options.phases:
        done = options.folder / phase.name / "result.json"
        if done.exists():
            logger.info("%s is finished already: %s", phase.name, done.read_text().strip())
            measured = json.loads(done.read_text())
        else:
            referee = _initial_referee(config, start).to(options.device)
            finished, measured = _train_phase(referee, phase, dataset, held_out, options)
            if not finished:
                break
            write_text(done, json.dumps(measured) + "\n")
        start = options.folder / phase.name / FILE.name
    return measured


def _initial_referee(config: RefereeConfig, start: Path | None) -> Referee:
    """Create a random referee, or one with all tensors of an earlier one that fit."""
    referee = Referee(config)
    if start is not None:
        fresh = copy_matching(load_referee(start), referee)
        logger.info("started from %s, new tensors: %s", start, ", ".join(fresh) or "none")
    return referee


def _train_phase(
    referee: Referee, phase: Phase, dataset: CachedRenders, held_out: Renders, options: RefereeTrainingOptions
) -> tuple[bool, dict[str, float]]:
    """Train a phase and write the weights; return whether it was finished, and its accuracy."""
    stage = RefereeStage(
        referee,
        dataset,
        held_out,
        options.folder / phase.name,
        StageSettings(
            phase.steps, phase.batch, phase.lr, warmup=min(100, phase.steps // 5), weight_decay=0.01, ema=0.998
        ),
        shards=-(-options.scenes // SHARD),
        scale=phase.scale,
        classes=phase.classes,
        only=phase.only,
        seed=options.seed,
        device=options.device,
    )
    trainer = Trainer(stage, stage.folder, options.device, sheet_every=500, minutes=options.minutes)
    finished = trainer.run()
    measured = dict(trainer.finish())
    shutil.copyfile(stage.folder / FILE.name, options.folder / FILE.name)
    logger.info("%s: %s", phase.name, ", ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    return finished, measured


def check_referee(options: RefereeCheckOptions) -> str:
    """Measure a referee on fresh held-out renders at each of ``CHECK_SIZES``, and write ``accuracy.json``.

    Returns:
        A Markdown table.

    Raises:
        ModelError, CheckpointError: the referee is missing or broken, or it does not know the vocabulary.
    """
    referee = load_referee(options.file, options.device)
    referee.config.check_knows(options.vocabulary)
    results = {}
    for size in CHECK_SIZES:
        rng = random.Random(f"referee check:{options.seed}")
        renders = render_samples(
            rng, options.scenes, options.vocabulary, referee.config, "held_out", size, options.device
        )
        results[f"{size} px"] = measure_accuracy(referee, renders, rng)
    options.folder.mkdir(parents=True, exist_ok=True)
    written = {size: {name: x.to_json() if x.n else None for name, x in own.items()} for size, own in results.items()}
    write_text(options.folder / "accuracy.json", json.dumps({"asked": TARGET_ACCURACY, **written}, indent=2) + "\n")
    return _markdown(results)


def _markdown(results: Mapping[str, Mapping[str, Estimate]]) -> str:
    rows = [
        [
            name,
            f"≥ {TARGET_ACCURACY[name]}" if name in TARGET_ACCURACY else "",
            *(estimate_cell(own[name].to_json(), ", n ") for own in results.values()),
        ]
        for name in next(iter(results.values()))
    ]
    return markdown_table(["measure", "target", *results], rows) + "\n"
