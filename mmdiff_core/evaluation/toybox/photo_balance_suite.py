"""Two subjects with unlike numbers of photos, with and without weighing each subject's tokens by one over its photos.

In the image term of the cross-attention all tokens of all photos share one softmax, so a subject with four photos has
four times the tokens of one with a single photo. ``GenerateRequest.balance_photos`` weighs them alike.

Beside what ``request_comparison`` writes, the report has balance.json and balance.md, the results.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmdiff_core.atomic_files import write_text
from mmdiff_core.backbones.toybox import FOLDER
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.request_comparison import claim_comparison, run_comparison
from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, ToyboxCase, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import ToyboxScores
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.referee.metrics import average, proportion
from mmdiff_core.referee.network import FILE
from mmdiff_core.toyworld.scenes.random_scenes import reference_scene
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

PROMPTS = 200
MANY = 4  # photos of one subject; the other has a single one
PLAIN, BALANCED = "plain", "balanced"
SETTINGS: Mapping[str, Mapping[str, Any]] = {PLAIN: {"balance_photos": False}, BALANCED: {"balance_photos": True}}
MEASURES = {
    "likeness_many": f"likeness of the subject with {MANY} photos",
    "likeness_single": "likeness of the subject with one photo",
    "identity_many": f"the right toy among 16, {MANY} photos",
    "identity_single": "the right toy among 16, one photo",
    "swapped": "attributes swapped between the subjects",
    "present": "both named subjects present",
}


@dataclass(frozen=True)
class PhotoBalanceOptions:
    """What to measure, and how much of it."""

    folder: Path
    model: Path = FOLDER
    referee: Path = FILE
    prompts: int = PROMPTS
    seeds: tuple[int, ...] = (0,)
    device: str = "cpu"


def evaluate_photo_balance(options: PhotoBalanceOptions) -> dict[str, Any]:
    """Run the remaining prompts and write the report; return the content of ``balance.json``.

    Raises:
        SettingsError: the folder contains another evaluation, or the model knows one class only.
        ModelError, CheckpointError: the model or the referee is missing or broken.
    """
    compared = claim_comparison(
        options.folder, options.model, options.referee, options.device, seeds=list(options.seeds)
    )
    if len(compared.backbone.vocabulary.classes) < 2:
        raise SettingsError("The model knows one class only; cases with two subjects need two.")
    cases = draw_unbalanced_cases(compared.backbone.vocabulary, options.prompts)
    scores = run_comparison(compared, cases, SETTINGS, options.seeds, FIRST_SEED)
    table = {
        **{name: summarise_photo_balance(rows) for name, rows in scores.items()},
        "change": likeness_changes(scores[PLAIN], scores[BALANCED]),
        "about": dict(compared.about),
    }
    write_text(options.folder / "balance.json", json.dumps(table, indent=2) + "\n")
    write_text(options.folder / "balance.md", photo_balance_markdown(table))
    return table


def draw_unbalanced_cases(vocabulary: Vocabulary, prompts: int) -> list[ToyboxCase]:
    """Draw the suite's cases of two subjects; the first has ``MANY`` photos where the number is even, else the second.

    The other subject keeps the first of its photos.
    """
    return [_unbalanced(case, vocabulary) for case in draw_toybox_cases(vocabulary, {2: prompts})]


def subject_with_many(number: int) -> int:
    """Return which subject of a case has ``MANY`` photos."""
    return number % 2


def summarise_photo_balance(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Return each measure with its 95 % interval, which counts prompts as independent."""
    numbers = [row.number for row in rows]
    swaps = [(hit, row.number) for row in rows for hit in row.swapped]
    estimates = {"present": proportion([row.present for row in rows], numbers)}
    for part in ("many", "single"):
        own = [_subject(row, part) for row in rows]
        estimates[f"likeness_{part}"] = average([row.likeness[s] for row, s in zip(rows, own, strict=True)], numbers)
        estimates[f"identity_{part}"] = proportion([row.identity[s] for row, s in zip(rows, own, strict=True)], numbers)
    estimates["swapped"] = proportion([hit for hit, _ in swaps], [number for _, number in swaps])
    return {name: estimates[name].to_json() if estimates[name].n else None for name in MEASURES}


def likeness_changes(before: Sequence[ToyboxScores], after: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Return the mean change of both likenesses, prompt by prompt and seed by seed."""
    known = {(row.number, row.seed): row for row in before}
    pairs = [(known[key], row) for row in after if (key := (row.number, row.seed)) in known]
    numbers = [row.number for _, row in pairs]
    return {
        f"likeness_{part}": average(
            [now.likeness[_subject(now, part)] - was.likeness[_subject(was, part)] for was, now in pairs], numbers
        ).to_json()
        for part in ("many", "single")
    }


def photo_balance_markdown(table: Mapping[str, Any]) -> str:
    """Return a row for each measure, without and with the balance."""
    results = markdown_table(
        ["measure, by the referee", "all tokens alike", "each subject alike", "change"],
        [
            [
                text,
                *(estimate_cell(table[name][measure], ", ") for name in SETTINGS),
                estimate_cell(table["change"].get(measure), ", ", sign="+"),
            ]
            for measure, text in MEASURES.items()
        ],
    )
    notes = "In brackets: 95 % interval and number of cases. Likeness: cosine between the referee's identity embeddings"
    notes = f"{notes} of a subject's region and of its photos, 0 where no region is found."
    return "\n".join([results, "", notes, "", f"{settings_line(table['about'])}.", ""])


def _unbalanced(case: ToyboxCase, vocabulary: Vocabulary) -> ToyboxCase:
    rng = random.Random(f"photo balance:{case.number}")
    views = [own[:1] for own in case.views]
    many = subject_with_many(case.number)
    more = (reference_scene(rng, case.toys[many], case.scene, vocabulary) for _ in range(MANY - len(case.views[many])))
    views[many] = (*case.views[many], *more)
    return replace(case, views=tuple(views))


def _subject(row: ToyboxScores, part: str) -> int:
    """Return the number of the subject with many photos, or of that with a single one."""
    many = subject_with_many(row.number)
    return many if part == "many" else 1 - many
