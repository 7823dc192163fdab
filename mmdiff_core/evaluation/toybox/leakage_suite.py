"""Leakage between two subjects: the Toybox suite's prompts with two subjects, at several strengths of word gating.

Weights that were trained without the attention constraints let attributes of one subject leak into the other. The
prompts, photos and seeds are the same at every strength, so nothing else differs.

REPORT/
    binding.json, binding.md   the results
    rows-BINDING.jsonl         the measures of every image; a later start continues behind its last prompt
    settings.json              what was evaluated
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.result_folder import append_prompt, claim_folder, read_prompts, repair, weights_fingerprint
from mmdiff_core.evaluation.toybox.suite import ToyboxSuite
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, SEEDS, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import ToyboxScores
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import Estimate, proportion
from mmdiff_core.referee.network import FILE, load_referee
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest

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


class WordGatedPersonalizer(Personalizer):
    """A model whose requests all have one strength of word gating."""

    def __init__(self, personalizer: Personalizer, word_gating: float) -> None:
        super().__init__(personalizer.backbone, personalizer.adapter)
        self.word_gating = word_gating

    def generate(self, request: GenerateRequest, photos: PhotoCache | None = None) -> Iterator[Step]:
        """Generate as ``Personalizer.generate`` does, at this strength."""
        return super().generate(replace(request, word_gating=self.word_gating), photos)


def evaluate_leakage(options: LeakageOptions) -> dict[str, Any]:
    """Run the remaining prompts and write the report; return the content of ``binding.json``.

    Raises:
        SettingsError: a number is out of range, or the folder contains another comparison.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    _check(options)
    backbone, adapter = load_toybox(options.model, options.device, options.adapter)
    referee = load_referee(options.referee, options.device)
    referee.config.check_knows(backbone.vocabulary)
    about = _settings(options)
    claim_folder(options.folder, about)
    personalizer = Personalizer(backbone, adapter)
    cases = draw_toybox_cases(backbone.vocabulary, {2: options.prompts}, options.seed)
    for strength in options.word_gatings:
        gated = WordGatedPersonalizer(personalizer, strength)
        suite = ToyboxSuite(gated, referee, options.seeds, options.seed, bounds=False)
        done = {row.number for row in _read_scores(options, strength)}
        for case in tqdm([case for case in cases if case.number not in done], desc=f"word gating {strength:g}"):
            images = suite.run(case).images
            append_prompt(_rows_file(options, strength), [asdict(judged.scores) for judged in images])
    columns = {f"{strength:g}": summarise_leakage(_read_scores(options, strength)) for strength in options.word_gatings}
    table = {**columns, "about": about}
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


def _settings(options: LeakageOptions) -> dict[str, object]:
    return {
        "model": weights_fingerprint(options.model),
        "referee": weights_fingerprint(options.referee),
        "first identity": options.seed,
        "seeds": list(options.seeds),
        **({} if options.adapter is None else {"adapter": weights_fingerprint(options.adapter)}),
    }


def _rows_file(options: LeakageOptions, strength: float) -> Path:
    return options.folder / f"rows-{strength:g}.jsonl"


def _read_scores(options: LeakageOptions, strength: float) -> list[ToyboxScores]:
    """Read the scores of the finished prompts among those to evaluate; remove a line that was cut short."""
    file = _rows_file(options, strength)
    repair(file)
    rows = [ToyboxScores(**values) for values in read_prompts(file)]
    return [row for row in rows if row.number < options.prompts]
