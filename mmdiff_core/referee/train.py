"""Runs of the referee's training, and the measurement of what came out."""

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
from mmdiff_core.referee.accuracy import ASKED, check
from mmdiff_core.referee.cached_renders import SHARD, RenderPool, Renders, render_samples
from mmdiff_core.referee.metrics import Estimate
from mmdiff_core.referee.network import FILE, Referee, RefereeConfig, load_referee
from mmdiff_core.referee.stage import RefereeStage, fitting
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.trainer import Trainer

logger = logging.getLogger(__name__)

CHECK_SIZES = (256, 96)
HELD_OUT_SCENES = 120  # measured when training ends


@dataclass(frozen=True)
class Phase:
    """A part of the training: pictures at ``scale`` times the referee's size, ``batch`` of them a step, half photos."""

    name: str
    scale: float
    steps: int
    batch: int
    rate: float
    nouns: tuple[int, ...]  # in a batch, see RefereeStage
    only: tuple[str, ...] = ()  # parts of the network to train; none named: all


# Nouns are learned from their outlines, which small pictures show as well, at a quarter of the time. Which of them are
# there is weighed anew when nothing else moves any more.
PHASES = (
    Phase("coarse", 0.5, 5000, 64, 2e-3, (24,)),
    Phase("fine", 1.0, 12_000, 64, 1e-3, (2, 4, 24)),
    Phase("presence", 1.0, 600, 64, 3e-3, (24,), only=("nouns", "presence")),
)


@dataclass(frozen=True)
class TeachOptions:
    """A run over all ``phases``, on ``pool`` scenes; ``start`` is a referee to go on from."""

    folder: Path
    vocabulary: Vocabulary = WHOLE_WORLD
    start: Path | None = None
    minutes: float | None = None  # for each phase
    device: str = "cpu"
    phases: tuple[Phase, ...] = PHASES
    pool: int = 30_000
    seed: int = 0


@dataclass(frozen=True)
class CheckOptions:
    """A measurement of the referee in ``file``, written to ``folder``."""

    file: Path
    folder: Path
    vocabulary: Vocabulary = WHOLE_WORLD
    scenes: int = 600
    device: str = "cpu"
    seed: int = 0


def teach(options: TeachOptions) -> Mapping[str, float]:
    """Train a referee, or go on with one; returns what the last phase that was reached measured.

    Raises:
        SettingsError: numbers that no training can be made of.
        ModelError, CheckpointError: the referee to start from is missing or broken.
    """
    if options.pool < 1 or any(phase.steps < 1 or phase.batch < 8 for phase in options.phases):
        raise SettingsError("Training needs at least 1 step, 1 scene and 8 pictures a step: raise the numbers.")
    torch.manual_seed(options.seed)
    config = RefereeConfig.of(options.vocabulary)
    pool = RenderPool(options.folder / "pool", options.vocabulary, config, options.seed)
    rng = random.Random(f"referee held out:{options.seed}")
    held_out = render_samples(rng, HELD_OUT_SCENES, options.vocabulary, config, "held_out", device=options.device)
    start, measured = options.start, dict[str, float]()
    for phase in options.phases:
        done = options.folder / phase.name / "result.json"
        if done.exists():
            logger.info("%s is finished already: %s", phase.name, done.read_text().strip())
            measured = json.loads(done.read_text())
        else:
            referee = _first(config, start).to(options.device)
            finished, measured = _train(referee, phase, pool, held_out, options)
            if not finished:
                break
            write_text(done, json.dumps(measured) + "\n")
        start = options.folder / phase.name / FILE.name
    return measured


def _first(config: RefereeConfig, start: Path | None) -> Referee:
    """A referee to train: random, or with all of an earlier one that fits."""
    referee = Referee(config)
    if start is not None:
        anew = fitting(load_referee(start), referee)
        logger.info("started from %s, anew: %s", start, ", ".join(anew) or "nothing")
    return referee


def _train(
    referee: Referee, phase: Phase, pool: RenderPool, held_out: Renders, options: TeachOptions
) -> tuple[bool, dict[str, float]]:
    """Whether the phase was finished, and what was measured then; the weights are in either case written."""
    stage = RefereeStage(
        referee,
        pool,
        held_out,
        options.folder / phase.name,
        StageSettings(
            phase.steps, phase.batch, phase.rate, warmup=min(100, phase.steps // 5), weight_decay=0.01, ema=0.998
        ),
        shards=-(-options.pool // SHARD),
        scale=phase.scale,
        nouns=phase.nouns,
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


def check_referee(options: CheckOptions) -> str:
    """Measure a referee on fresh held-out renders at every one of ``CHECK_SIZES``; writes ``accuracy.json``.

    Returns:
        A Markdown table.

    Raises:
        ModelError, CheckpointError: there is no such referee, it is broken, or it does not know all the words.
    """
    referee = load_referee(options.file, options.device)
    referee.config.check_knows(options.vocabulary)
    results = {}
    for size in CHECK_SIZES:
        rng = random.Random(f"referee check:{options.seed}")
        renders = render_samples(
            rng, options.scenes, options.vocabulary, referee.config, "held_out", size, options.device
        )
        results[f"{size} px"] = check(referee, renders, rng)
    options.folder.mkdir(parents=True, exist_ok=True)
    written = {size: {name: x.to_json() if x.n else None for name, x in own.items()} for size, own in results.items()}
    write_text(options.folder / "accuracy.json", json.dumps({"asked": ASKED, **written}, indent=2) + "\n")
    return _markdown(results)


def _markdown(results: Mapping[str, Mapping[str, Estimate]]) -> str:
    names = list(next(iter(results.values())))
    lines = [f"| measure | asked | {' | '.join(results)} |", f"|---|---|{'---|' * len(results)}"]
    for name in names:
        cells = (
            f"{x.mean:.3f} ({x.low:.3f} to {x.high:.3f}, n {x.n})" for x in (own[name] for own in results.values())
        )
        asked = f"≥ {ASKED[name]}" if name in ASKED else ""
        lines.append(f"| {name} | {asked} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
