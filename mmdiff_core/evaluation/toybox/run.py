"""A whole evaluation in a folder: resumable, so that a stop costs one prompt.

REPORT/
    toybox.json, toybox.md    the figures
    sheets/one.png ...        contact sheets of the first prompts
    rows.jsonl                what was measured of every picture; a later start goes on behind its last prompt
    settings.json             of what they are; a start with other settings is refused
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.atomic_files import atomic_file, named_disk_errors, write_text
from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.case_sheet import case_strip, stack_strips
from mmdiff_core.evaluation.toybox.report import COUNTS, write_toybox_report
from mmdiff_core.evaluation.toybox.suite import (
    FIRST_SEED,
    MODEL,
    PROMPTS,
    SEEDS,
    ToyboxCase,
    ToyboxScores,
    ToyboxSuite,
    draw_toybox_cases,
)
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.network import FILE, load_referee
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import MapKind

WEIGHTS = (".safetensors", ".bin")  # the official checkpoint has the latter
SHOWN = 8  # prompts on a contact sheet


@dataclass(frozen=True)
class ToyboxOptions:
    """What to evaluate, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: Mapping[int, int] = field(default_factory=lambda: PROMPTS)  # by the number of subjects
    seeds: tuple[int, ...] = SEEDS
    seed: int = FIRST_SEED
    device: str = "cpu"
    stream: MapKind = "image"  # the heatmaps that are measured
    bounds: bool = True  # real renders and the base model, too


def evaluate_toybox(options: ToyboxOptions) -> dict[str, Any]:
    """Run what is still to be done and write the report; returns what ``toybox.json`` holds.

    Raises:
        SettingsError: the first identity is one that training may have seen.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    backbone, adapter = load_toybox(options.model, options.device)
    return evaluate_model(Personalizer(backbone, adapter), backbone.vocabulary, options)


def evaluate_model(
    personalizer: Personalizer,
    vocabulary: Vocabulary,
    options: ToyboxOptions,
    about: Mapping[str, object] | None = None,
    distractors: dict[str, Tensor] | None = None,
) -> dict[str, Any]:
    """The same of a model that is loaded already.

    Args:
        personalizer: the model.
        vocabulary: what it was trained on.
        options: as of :func:`evaluate_toybox`, which see for the errors.
        about: what sets the model apart from that in the options.
        rivals: as of :class:`ToyboxSuite`.
    """
    if options.seed < FIRST_SEED:
        raise SettingsError(
            f"The seed is {options.seed}: identities below {FIRST_SEED} are trained on, choose a higher one."
        )
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(vocabulary)
    cases = draw_toybox_cases(vocabulary, options.prompts, options.seed)
    told = {**_about(options), **(about or {})}
    done = _begin(options, told)
    suite = ToyboxSuite(personalizer, referee, options.seeds, options.seed, options.stream, options.bounds, distractors)
    _carry_out(suite, [case for case in cases if (case.count, case.number) not in done], options)
    rows = read_toybox_scores(options.folder)
    _write_sheets(options.folder)
    return write_toybox_report(rows, options.folder, told)


def _carry_out(suite: ToyboxSuite, cases: Sequence[ToyboxCase], options: ToyboxOptions) -> None:
    per_case = len(options.seeds)
    with tqdm(total=len(cases) * per_case, desc="toybox suite", unit="picture", dynamic_ncols=True) as bar:
        for case in cases:
            bar.set_postfix_str(case.scene.caption.text[:40])
            outcome = suite.outcome(case)
            if case.number < SHOWN:
                _save(case_strip(outcome), options.folder / "sheets" / f"{COUNTS[case.count]}_{case.number}.png")
            rows = options.folder / "rows.jsonl"
            with named_disk_errors(rows), rows.open("a") as file:
                file.write(json.dumps([asdict(shown.row) for shown in outcome.shown]) + "\n")
            bar.update(per_case)


def _begin(options: ToyboxOptions, about: Mapping[str, object]) -> set[tuple[int, int]]:
    """The prompts that an earlier start with the same settings has finished.

    Raises:
        SettingsError: the folder holds another evaluation.
    """
    settings = json.dumps({**about, "prompts": {str(k): n for k, n in options.prompts.items()}}, indent=2)
    claim_folder(options.folder, settings)
    (options.folder / "sheets").mkdir(parents=True, exist_ok=True)
    return {(row.count, row.number) for row in read_toybox_scores(options.folder) if row.kind == MODEL}


def claim_folder(folder: Path, settings: str) -> None:
    """Note in a folder what is evaluated there.

    Raises:
        SettingsError: the folder holds another evaluation.
    """
    kept = folder / "settings.json"
    if kept.exists() and kept.read_text() != settings:
        raise SettingsError(
            f'The folder "{folder}" holds an evaluation with other settings (settings.json in it tells): choose '
            "another folder with --out, or remove this one."
        )
    write_text(kept, settings)


def read_toybox_scores(folder: Path) -> list[ToyboxScores]:
    """Rows of the finished prompts; a line that a kill cut short is taken out."""
    path = folder / "rows.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    if lines and not lines[-1].endswith("\n"):
        lines = lines[:-1]
        write_text(path, "".join(lines))
    return [ToyboxScores(**values) for line in lines for values in json.loads(line)]


def _write_sheets(folder: Path) -> None:
    for name in COUNTS.values():
        strips = [path for k in range(SHOWN) if (path := folder / "sheets" / f"{name}_{k}.png").exists()]
        if strips:
            _save(stack_strips(strips), folder / "sheets" / f"{name}.png")


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_file(path) as aside:
        picture.save(aside)


def _about(options: ToyboxOptions) -> dict[str, object]:
    return {
        "model": fingerprint(options.model),
        "referee": fingerprint(options.referee),
        "first identity": options.seed,
        "pictures per prompt": len(options.seeds),
    }


def fingerprint(path: Path) -> str:
    """The first twelve digits of a hash over all weights in a folder, or over one file."""
    digest = hashlib.sha256()
    inside = (file for file in path.rglob("*") if file.suffix in WEIGHTS)
    for file in [path] if path.is_file() else sorted(inside):
        with file.open("rb") as opened:
            while part := opened.read(2**24):
                digest.update(part)
    return digest.hexdigest()[:12]
