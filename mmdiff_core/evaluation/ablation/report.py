"""The table of an ablation: ``ablation.json`` and Markdown, with intervals, and what each choice changed.

Differences are paired: the same prompt and seed by the whole method and by the variant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mmdiff_core.evaluation.ablation.adapter_variants import FULL, AdapterVariant
from mmdiff_core.evaluation.ablation.side_by_side import ImageTimes
from mmdiff_core.evaluation.toybox.suite import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.referee.metrics import average

BASE = "base"  # without photos
MIN_IMAGES = 30  # of a variant, below which a bootstrap's interval is too narrow to conclude anything from

# What a picture scores, between 0 and 1, the more the better.
SCORES: Mapping[str, tuple[str, Callable[[ToyboxScores], float]]] = {
    "subject": ("subject fidelity", lambda row: fmean(row.likeness)),
    "text": ("text fidelity", lambda row: fmean((row.present, row.place, row.style))),
    "identity": ("identity", lambda row: fmean(row.identity)),
    "peak": ("peak", lambda row: fmean(row.peak)),
}
JUDGED = ("identity", "swapped", "present", "place", "style", "peak", "iou")
NOTES = (
    "Subject fidelity: cosine between the referee's identity embeddings of a subject's region and of its photos, 0 "
    "where it finds no region. Text fidelity: the mean of every subject present, place as asked and style as asked. "
    "Identity: the right toy among 16 of its noun. Peak: the heatmap's peak inside its own subject.",
    "Seconds: a picture of two subjects at the model's defaults without maps; median and range of rounds in which the "
    "variants took turns.",
    "In brackets: 95 % intervals (bootstrap over prompts; Wilson for shares), not corrected for the number of rows: of "
    "twenty comparisons without any difference, one is expected to show one.",
    "Heatmaps are those of the photos, and of the words where there is no image term.",
)


@dataclass(frozen=True)
class MeasuredVariant:
    """A variant and what came of it. ``table``: of the suite; ``training``: parameters and last loss terms."""

    variant: AdapterVariant
    training: Mapping[str, float]
    table: Mapping[str, Any]
    rows: Sequence[ToyboxScores]

    def pictures(self, kind: str = MODEL) -> list[ToyboxScores]:
        return [row for row in self.rows if row.kind == kind]


def write_ablation_report(
    measured: Sequence[MeasuredVariant], seconds: Mapping[str, ImageTimes], about: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Write ``ablation.json`` and ``ablation.md``; returns what the first holds.

    Args:
        measured: the variants, the whole method among them.
        seconds: per picture, by name, and of the base.
        about: what all variants share.
        folder: where to.
    """
    full = next(one for one in measured if one.variant.name == FULL)
    table = {
        "variants": {one.variant.name: _entry(one, full, seconds[one.variant.name]) for one in measured},
        BASE: {**_scores(full.pictures(LOWER)), "seconds": asdict(seconds[BASE]), **_judged(full.table["lower"])},
        "upper": {**_scores(full.pictures(UPPER)), **_judged(full.table["upper"])},
        "about": dict(about),
        "notes": NOTES,
    }
    (folder / "ablation.json").write_text(json.dumps(table, indent=2) + "\n")
    (folder / "ablation.md").write_text(ablation_markdown(table))
    return table


def _entry(one: MeasuredVariant, full: MeasuredVariant, seconds: ImageTimes) -> dict[str, Any]:
    return {
        "title": one.variant.title,
        "group": one.variant.group,
        "settings": one.variant.to_json(),
        "parameters": int(one.training["parameters"]),
        "training": {name: value for name, value in one.training.items() if name != "parameters"},
        "seconds": asdict(seconds),
        **_scores(one.pictures()),
        **_judged(one.table),
        "change": {} if one is full else score_changes(full.pictures(), one.pictures()),
    }


def _judged(table: Mapping[str, Any]) -> dict[str, Any]:
    return {count: {name: table[count][name] for name in JUDGED} for count in ("one", "two")}


def _scores(rows: Sequence[ToyboxScores]) -> dict[str, dict[str, float | int]]:
    prompts = [(row.count, row.number) for row in rows]
    return {name: average([score(row) for row in rows], prompts).to_json() for name, (_, score) in SCORES.items()}


def score_changes(before: Sequence[ToyboxScores], after: Sequence[ToyboxScores]) -> dict[str, dict[str, float | int]]:
    """Mean difference of every score over the pictures that both made, with its interval."""
    known = {(row.count, row.number, row.seed): row for row in before}
    pairs = [(known[key], row) for row in after if (key := (row.count, row.number, row.seed)) in known]
    prompts = [(row.count, row.number) for _, row in pairs]
    return {
        name: average([score(row) - score(first) for first, row in pairs], prompts).to_json()
        for name, (_, score) in SCORES.items()
    }


# ---------------------------------------------------------------- for people


def ablation_markdown(table: Mapping[str, Any]) -> str:
    """The field's measures side by side, those of the suite, and what each choice changed."""
    variants: Mapping[str, Any] = table["variants"]
    lines = [
        "| | trained parameters | s per picture | subject fidelity | text fidelity |",
        "|---|---|---|---|---|",
        *(_field_row(one["title"], f"{one['parameters']:,}", one) for one in variants.values()),
        _field_row("base model without photos", "-", table[BASE]),
        _field_row("real renders", "-", table["upper"]),
        "",
        "| | identity, one | identity, two | swapped, two | peak, two | IoU, one | IoU, two |",
        "|---|---|---|---|---|---|---|",
        *(_judged_row(one["title"], one) for one in variants.values()),
        _judged_row("base model without photos", table[BASE]),
        _judged_row("real renders", table["upper"]),
        "",
        f"| against {variants[FULL]['title']} | {' | '.join(title for title, _ in SCORES.values())} | reading |",
        f"|---|{'---|' * len(SCORES)}---|",
        *(_change_row(one) for one in variants.values() if one["change"]),
        "",
        *conclusions(variants),
        *(f"* {note}" for note in table["notes"]),
        f"* {', '.join(f'{name} {value}' for name, value in table['about'].items())}.",
    ]
    return "\n".join([*lines, ""])


def conclusions(variants: Mapping[str, Any]) -> list[str]:
    """A line for each part of the method that was taken away: whether it earned its place."""
    parts = [one for one in variants.values() if one["group"] == "component"]
    lines = [f"* **{one['title'].removeprefix('no ')}** {_verdict(one['change'])}" for one in parts]
    return [*lines, ""] if lines else []


def _verdict(change: Mapping[str, Mapping[str, float]]) -> str:
    worse, better = _fell_and_rose(change)
    if _too_few(change):
        return f"cannot be judged: it takes {MIN_IMAGES} pictures or more of each variant."
    if worse and not better:
        return f"earns its place here: without it {_and(worse)} fell."
    if worse:
        return f"is a trade here: without it {_and(worse)} fell and {_and(better)} rose."
    if better:
        return f"does not earn its place here: without it {_and(better)} rose."
    return "is not shown to earn its place here: no score fell without it."


def _fell_and_rose(change: Mapping[str, Mapping[str, float]]) -> tuple[list[str], list[str]]:
    """The scores whose interval lies below 0, and those whose interval lies above."""
    fell = [SCORES[name][0] for name, x in change.items() if x["high"] < 0]
    return fell, [SCORES[name][0] for name, x in change.items() if x["low"] > 0]


def _too_few(change: Mapping[str, Mapping[str, float]]) -> bool:
    return min(x["n"] for x in change.values()) < MIN_IMAGES


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _field_row(title: str, parameters: str, one: Mapping[str, Any]) -> str:
    seconds = one.get("seconds")
    told = "-" if seconds is None else f"{seconds['median']:.2f} ({seconds['least']:.2f} to {seconds['most']:.2f})"
    return f"| {title} | {parameters} | {told} | {_figure(one['subject'])} | {_figure(one['text'])} |"


def _judged_row(title: str, one: Mapping[str, Any]) -> str:
    cells = [
        *(one[count]["identity"] for count in ("one", "two")),
        *(one["two"][name] for name in ("swapped", "peak")),
        *(one[count]["iou"] for count in ("one", "two")),
    ]
    return f"| {title} | {' | '.join(map(_figure, cells))} |"


def _change_row(one: Mapping[str, Any]) -> str:
    cells = [f"{x['mean']:+.3f} ({x['low']:+.3f} to {x['high']:+.3f})" for x in one["change"].values()]
    return f"| {one['title']} | {' | '.join(cells)} | {_reading(one['change'])} |"


def _reading(change: Mapping[str, Mapping[str, float]]) -> str:
    if _too_few(change):
        return "too few pictures to tell"
    worse, better = _fell_and_rose(change)
    told = [f"less {name}" for name in worse] + [f"more {name}" for name in better]
    return ", ".join(told) or "no difference shown"


def _figure(figure: Mapping[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
