"""The report of an ablation: ``ablation.json`` and Markdown, with intervals, and what each choice changed.

Differences are paired: the same prompt and seed by the whole method and by the variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mmdiff_core.atomic_files import write_text
from mmdiff_core.evaluation.ablation.adapter_variants import FULL, AdapterVariant
from mmdiff_core.evaluation.ablation.side_by_side import ImageTimes
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.referee.metrics import average, best_threshold

BASE = "base"  # without photos
MIN_IMAGES = 30  # of a variant; with fewer, a bootstrap's interval is too narrow for conclusions

# Scores of an image, between 0 and 1; higher is better. Given are the image and the index of the heatmaps' threshold.
SCORES: Mapping[str, tuple[str, Callable[[ToyboxScores, int], float | None]]] = {
    "subject": ("subject fidelity", lambda row, _: fmean(row.likeness)),
    "text": ("text fidelity", lambda row, _: fmean((row.present, row.place, row.style))),
    "identity": ("identity", lambda row, _: fmean(row.identity)),
    "apart": ("separation", lambda row, _: 1 - fmean(row.swapped) if row.swapped else None),
    "peak": ("peak", lambda row, _: fmean(row.peak) if row.peak else None),
    "iou": ("IoU", lambda row, at: fmean(curve[at] for curve in row.curves) if row.curves else None),
}
Change = Mapping[str, Mapping[str, float] | None]  # what score_changes returns
MEASURES = ("identity", "swapped", "present", "place", "style", "peak", "iou")
NOTES = (
    "Subject fidelity: cosine between the referee's identity embeddings of a subject's region and of its photos, 0 "
    "where it finds no region. Text fidelity: the mean of every subject present, right background and right style. "
    "Identity: the right toy among 16 of its class. Separation: subjects without the other's attributes, in images of "
    "two that were both found. Peak: the heatmap's peak inside its own subject. IoU: the heatmap against the "
    "subject's region, each variant at its own best threshold.",
    "Seconds: an image of two subjects at the model's defaults without maps; median and range of rounds in which the "
    "variants took turns.",
    "In brackets: 95 % intervals (bootstrap over prompts; Wilson for shares), not corrected for the number of rows: of "
    "twenty comparisons without any difference, one is expected to show one.",
    "Heatmaps are those of the photos, or of the words where there is no image term.",
)


@dataclass(frozen=True)
class MeasuredVariant:
    """A variant and its results. ``table``: of the suite; ``training``: parameters and last loss terms."""

    variant: AdapterVariant
    training: Mapping[str, float]
    table: Mapping[str, Any]
    rows: Sequence[ToyboxScores]

    def images(self, kind: str = MODEL) -> list[ToyboxScores]:
        return [row for row in self.rows if row.kind == kind]


def write_ablation_report(
    measured: Sequence[MeasuredVariant], seconds: Mapping[str, ImageTimes], about: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Write ``ablation.json`` and ``ablation.md``; return the content of the former.

    Args:
        measured: the variants, the whole method among them.
        seconds: per image, by name, and of the base.
        about: what all variants share.
        folder: to write to.
    """
    full = next(one for one in measured if one.variant.name == FULL)
    table = {
        "variants": {one.variant.name: _entry(one, full, seconds[one.variant.name]) for one in measured},
        BASE: {**_scores(full.images(LOWER)), "seconds": asdict(seconds[BASE]), **_measures(full.table["lower"])},
        "upper": {**_scores(full.images(UPPER)), **_measures(full.table["upper"])},
        "about": dict(about),
        "notes": NOTES,
    }
    write_text(folder / "ablation.json", json.dumps(table, indent=2) + "\n")
    write_text(folder / "ablation.md", ablation_markdown(table))
    return table


def _entry(one: MeasuredVariant, full: MeasuredVariant, seconds: ImageTimes) -> dict[str, Any]:
    return {
        "title": one.variant.title,
        "group": one.variant.group,
        "settings": one.variant.to_json(),
        "parameters": int(one.training["parameters"]),
        "training": {name: value for name, value in one.training.items() if name != "parameters"},
        "seconds": asdict(seconds),
        **_scores(one.images()),
        **_measures(one.table),
        "change": {} if one is full else score_changes(full.images(), one.images()),
    }


def _measures(table: Mapping[str, Any]) -> dict[str, Any]:
    return {count: {name: table[count][name] for name in MEASURES} for count in ("one", "two")}


def _scores(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    return {name: _average(list(zip(rows, scores, strict=True))) for name, scores in _scored(rows).items()}


def score_changes(before: Sequence[ToyboxScores], after: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Return the mean difference of every score over the images that both have, with its interval; None without any."""
    old, new = _scored(before), _scored(after)
    place = {(row.count, row.number, row.seed): index for index, row in enumerate(before)}
    pairs = [(place.get((row.count, row.number, row.seed)), index) for index, row in enumerate(after)]
    both = [(first, index) for first, index in pairs if first is not None]
    return {
        name: _average([(after[index], _difference(old[name][first], new[name][index])) for first, index in both])
        for name in SCORES
    }


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _scored(rows: Sequence[ToyboxScores]) -> dict[str, list[float | None]]:
    """Return every score of every image."""
    threshold = best_threshold([np.array(curve) for row in rows for curve in row.curves])
    return {name: [score(row, threshold) for row in rows] for name, (_, score) in SCORES.items()}


def _average(scores: Sequence[tuple[ToyboxScores, float | None]]) -> dict[str, float | int] | None:
    known = [(row, score) for row, score in scores if score is not None]
    estimate = average([score for _, score in known], [(row.count, row.number) for row, _ in known])
    return estimate.to_json() if estimate.n else None


def ablation_markdown(table: Mapping[str, Any]) -> str:
    """Return the field's measures, those of the suite, and what each choice changed."""
    variants: Mapping[str, Any] = table["variants"]
    bounds = {"base model without photos": table[BASE], "real renders": table["upper"]}
    rows = {**{one["title"]: one for one in variants.values()}, **bounds}
    fidelity = markdown_table(
        ["", "trained parameters", "s per image", "subject fidelity", "text fidelity"],
        [[title, *_fidelity_cells(one)] for title, one in rows.items()],
    )
    measures = markdown_table(
        ["", "identity, one", "identity, two", "swapped, two", "peak, two", "IoU, one", "IoU, two"],
        [[title, *_measure_cells(one)] for title, one in rows.items()],
    )
    changes = markdown_table(
        [f"against {variants[FULL]['title']}", *(title for title, _ in SCORES.values()), "reading"],
        [
            [one["title"], *(estimate_cell(x, sign="+") for x in one["change"].values()), _reading(one["change"])]
            for one in variants.values()
            if one["change"]
        ],
    )
    notes = [f"* {note}" for note in (*table["notes"], f"{settings_line(table['about'])}.")]
    return "\n".join([fidelity, "", measures, "", changes, "", *conclusions(variants), *notes, ""])


def conclusions(variants: Mapping[str, Any]) -> list[str]:
    """Return a line for each component that was removed: whether it earns its place."""
    components = [one for one in variants.values() if one["group"] == "component"]
    lines = [f"* **{one['title'].removeprefix('no ')}** {_conclusion(one['change'])}" for one in components]
    return [*lines, ""] if lines else []


def _conclusion(change: Change) -> str:
    fell, rose = _fell_and_rose(change)
    if _too_few(change):
        return f"cannot be judged: it takes {MIN_IMAGES} images or more of each variant."
    if fell and not rose:
        return f"earns its place here: without it {_and(fell)} fell."
    if fell:
        return f"is a trade-off here: without it {_and(fell)} fell and {_and(rose)} rose."
    if rose:
        return f"does not earn its place here: without it {_and(rose)} rose."
    return "is not shown to earn its place here: no score fell without it."


def _fell_and_rose(change: Change) -> tuple[list[str], list[str]]:
    """Return the scores whose interval is below 0, and those whose interval is above."""
    known = [(SCORES[name][0], x) for name, x in change.items() if x]
    return [name for name, x in known if x["high"] < 0], [name for name, x in known if x["low"] > 0]


def _too_few(change: Change) -> bool:
    return min(x["n"] for x in change.values() if x) < MIN_IMAGES


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _fidelity_cells(one: Mapping[str, Any]) -> list[str]:
    seconds = one.get("seconds")
    return [
        f"{one['parameters']:,}" if "parameters" in one else "-",
        "-" if seconds is None else f"{seconds['median']:.2f} ({seconds['least']:.2f} to {seconds['most']:.2f})",
        *(estimate_cell(one[name]) for name in ("subject", "text")),
    ]


def _measure_cells(one: Mapping[str, Any]) -> list[str]:
    one_subject, two_subjects = one["one"], one["two"]
    return [
        *(estimate_cell(subjects["identity"]) for subjects in (one_subject, two_subjects)),
        *(estimate_cell(two_subjects[name]) for name in ("swapped", "peak")),
        *(estimate_cell(subjects["iou"]) for subjects in (one_subject, two_subjects)),
    ]


def _reading(change: Change) -> str:
    if _too_few(change):
        return "too few images to tell"
    fell, rose = _fell_and_rose(change)
    return ", ".join([*(f"less {name}" for name in fell), *(f"more {name}" for name in rose)]) or "no difference shown"
