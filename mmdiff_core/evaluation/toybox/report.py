"""The report of the suite: ``toybox.json``, and a Markdown table with the targets beside the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdiff_core.atomic_files import write_text
from mmdiff_core.evaluation.toybox.toybox_cases import COUNTS
from mmdiff_core.evaluation.toybox.toybox_judge import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from mmdiff_core.referee.metrics import THRESHOLDS, Estimate, average, best_threshold, proportion

MEASURES = {
    "identity": "identity: the right toy among 16 of its class",
    "swapped": "attributes swapped between subjects",
    "present": "every named subject present",
    "twice": "a subject shown twice",
    "place": "background as in the prompt",
    "style": "style as in the prompt",
    "peak": "heatmap peak inside its own subject",
    "iou": "heatmap vs subject mask, IoU at the best single threshold",
}
TARGETS: Mapping[str, Mapping[str, float]] = {
    "one": {"identity": 0.95, "present": 0.98, "place": 0.97, "style": 0.97, "peak": 0.97, "iou": 0.75},
    "two": {
        "identity": 0.90,
        "swapped": 0.03,
        "present": 0.97,
        "place": 0.97,
        "style": 0.97,
        "peak": 0.97,
        "iou": 0.70,
    },
    "three": {
        "identity": 0.80,
        "swapped": 0.05,
        "present": 0.85,
        "place": 0.97,
        "style": 0.97,
        "peak": 0.95,
        "iou": 0.60,
    },
}
AT_MOST = frozenset({"swapped"})  # the other targets: at least
NOTES = {
    "one.swapped": "null: an image of one subject has no other to swap attributes with",
    "intervals": (
        "95 %: Wilson's score interval for shares, percentile bootstrap for iou; both count prompts, not images, as "
        "independent. n counts cases: subjects for identity, swapped, peak and iou, images for the others"
    ),
    "failures": (
        "a subject without a region by the referee counts as missed in identity, peak and iou; swapped counts images "
        "in which every subject was found"
    ),
    "swapped": "the region resembles another subject's photos more than its own, by colours and pattern",
    "twice": "the subject's region consists of two separate bodies or more",
    "upper": "the same scenes rendered; peak and iou there are the referee's own segmentation against exact masks",
    "lower": "the base model, LoRAs off, from the words alone; its heatmaps are those of its text attention",
}


def summarise_toybox(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    """Return the table of ``toybox.json``.

    ``one``, ``two`` and ``three`` are of the model under test; ``upper`` and ``lower`` contain the same three for real
    renders and for the base model. Each measure is {"mean", "low", "high", "n"}, or null where it does not apply.
    """
    table: dict[str, Any] = {}
    thresholds = {}
    for kind in (MODEL, UPPER, LOWER):
        own = [row for row in rows if row.kind == kind]
        at = best_threshold([np.array(curve) for row in own for curve in row.curves])
        thresholds[kind] = THRESHOLDS[at]
        columns = {name: _column([row for row in own if row.count == count], at) for count, name in COUNTS.items()}
        table.update(columns if kind == MODEL else {kind: columns})
    return {**table, "thresholds": thresholds, "targets": TARGETS, "notes": NOTES}


def _column(rows: Sequence[ToyboxScores], threshold: int) -> dict[str, dict[str, float | int] | None]:
    """Return every measure of images with the same number of subjects."""
    estimates = {
        **{name: _share(rows, name) for name in ("identity", "swapped", "present", "twice", "place", "style", "peak")},
        "iou": average(*_spread([(row, [curve[threshold] for curve in row.curves]) for row in rows])),
    }
    return {name: estimates[name].to_json() if estimates[name].n else None for name in MEASURES}


def _share(rows: Sequence[ToyboxScores], name: str) -> Estimate:
    values = ((row, getattr(row, name)) for row in rows)
    return proportion(*_spread([(row, value if isinstance(value, list) else [value]) for row, value in values]))


def _spread(values: Sequence[tuple[ToyboxScores, list[Any]]]) -> tuple[list[Any], list[int]]:
    """Return the values of all rows in one list, and the prompt of each."""
    return [x for _, own in values for x in own], [row.number for row, own in values for _ in own]


def write_toybox_report(rows: Sequence[ToyboxScores], folder: Path, about: Mapping[str, object]) -> dict[str, Any]:
    """Write ``toybox.json`` and ``toybox.md``; return the content of the former. ``about``: what was measured."""
    table = {**summarise_toybox(rows), "about": dict(about)}
    write_text(folder / "toybox.json", json.dumps(table, indent=2) + "\n")
    write_text(folder / "toybox.md", toybox_markdown(table))
    return table


def toybox_markdown(table: Mapping[str, Any]) -> str:
    """Return the table in Markdown: a row per measure, the target beside each result, bold where it is missed."""
    results = markdown_table(
        ["measure, by the referee", "one subject", "target", "two subjects", "target", "three subjects", "target"],
        [[text, *_result_cells(table, name)] for name, text in MEASURES.items()],
    )
    bounds = markdown_table(
        ["the same for real renders (upper), the base model without photos (lower)", *COUNTS.values()],
        [
            [f"{kind}: {name}", *(estimate_cell(table[kind][count][name], ", n ") for count in COUNTS.values())]
            for kind in (UPPER, LOWER)
            for name in MEASURES
        ],
    )
    notes = [
        "Bold results miss their target. In brackets: 95 % interval and number of cases.",
        *(f"* {name}: {text}." for name, text in NOTES.items()),
        f"* thresholds of the heatmaps: {settings_line(table['thresholds'])}.",
        f"* {settings_line(table.get('about', {}))}.",
    ]
    return "\n".join([results, "", bounds, "", *notes, ""])


def _result_cells(table: Mapping[str, Any], name: str) -> list[str]:
    cells = []
    for count in COUNTS.values():
        target, estimate = TARGETS.get(count, {}).get(name), table[count][name]
        cell = estimate_cell(estimate, ", n ")
        if target is not None and estimate is not None:
            missed = estimate["mean"] > target if name in AT_MOST else estimate["mean"] < target
            cell = f"**{cell}**" if missed else cell
        cells.append(cell)
        if count in TARGETS:
            cells.append("-" if target is None else f"{'≤' if name in AT_MOST else '≥'} {target:.2f}")
    return cells
