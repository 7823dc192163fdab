"""Leakage between two subjects: the Toybox suite's prompts with two subjects, at several strengths of word gating.

Weights that were trained without the attention constraints let attributes of one subject leak into the other. The
prompts, photos and seeds are the same at every strength, so nothing else differs.

Beside what ``request_comparison`` writes, the report has binding.json and binding.md, the results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.request_comparison import claim_comparison, run_comparison
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, SEEDS, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import ToyboxScores
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.referee.metrics import Estimate, proportion
from mmdiff_core.referee.network import FILE

WORD_GATINGS = (0.0, 0.5, 0.8, 1.0)
PROMPTS = 200
MEASURES = {
    "swapped": "attributes swapped between the subjects",
    "identity": "the right toy among 16",
    "present": "both named subjects present",
    "peak": "heatmap peak inside its own subject",
}


@dataclass(frozen=True)
class LeakageOptions:
    """What to measure, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: int = PROMPTS
    seeds: tuple[int, ...] = SEEDS
    seed: int = FIRST_SEED
    word_gatings: tuple[float, ...] = WORD_GATINGS
    device: str = "cpu"
    adapter: Path | None = None  # instead of the model's own


def evaluate_leakage(options: LeakageOptions) -> dict[str, Any]:
    """Run the remaining prompts and write the report; return the content of ``binding.json``.

    Raises:
        SettingsError: a number is out of range, or the folder contains another comparison.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    _check(options)
    compared = claim_comparison(
        options.folder, options.model, options.referee, options.device, options.adapter,
        **{"first identity": options.seed, "seeds": list(options.seeds)},
    )  # fmt: skip
    cases = draw_toybox_cases(compared.backbone.vocabulary, {2: options.prompts}, options.seed)
    settings = {f"{strength:g}": {"word_gating": strength} for strength in options.word_gatings}
    scores = run_comparison(compared, cases, settings, options.seeds, options.seed)
    table = {**{name: summarise_leakage(rows) for name, rows in scores.items()}, "about": dict(compared.about)}
    write_text(options.folder / "binding.json", json.dumps(table, indent=2) + "\n")
    write_text(options.folder / "binding.md", leakage_markdown(table))
    return table


def summarise_leakage(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Return the share of hits of each measure with its 95 % interval, which counts prompts as independent."""
    table = {}
    for name in MEASURES:
        values = ((row.number, getattr(row, name)) for row in rows)
        pairs = [(hit, number) for number, x in values for hit in (x if isinstance(x, list) else [x])]
        found: Estimate = proportion([hit for hit, _ in pairs], [number for _, number in pairs])
        table[name] = found.to_json() if pairs else None
    return table


def leakage_markdown(table: Mapping[str, Any]) -> str:
    """Return a row for each measure and a column for each strength."""
    strengths = [key for key in table if key != "about"]
    results = markdown_table(
        ["measure, by the referee", *(f"word gating {key}" for key in strengths)],
        [[text, *(estimate_cell(table[key][name], ", ") for key in strengths)] for name, text in MEASURES.items()],
    )
    about = settings_line(table["about"])
    return "\n".join([results, "", f"In brackets: 95 % interval and number of cases. Two subjects; {about}.", ""])


def _check(options: LeakageOptions) -> None:
    if options.seed < FIRST_SEED:
        raise SettingsError(f"The seed is {options.seed}: identities below {FIRST_SEED} are trained on.")
    if not options.word_gatings or not all(0 <= strength <= 1 for strength in options.word_gatings):
        raise SettingsError("Strengths of word gating must be from 0 (off) to 1.")
