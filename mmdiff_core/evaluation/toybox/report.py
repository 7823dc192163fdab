"""Rows of the suite to figures: ``toybox.json`` and a Markdown table beside what the design asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmdiff_core.atomic_files import write_text
from mmdiff_core.evaluation.toybox.suite import LOWER, MODEL, UPPER, ToyboxScores
from mmdiff_core.referee.metrics import THRESHOLDS, Estimate, average, best_threshold, proportion

COUNTS = {1: "one", 2: "two", 3: "three"}
MEASURES = {
    "identity": "identity: the right toy among 16 of its noun",
    "swapped": "attributes swapped between subjects",
    "present": "every named subject present",
    "place": "place as asked",
    "style": "style as asked",
    "peak": "heatmap peak inside its own subject",
    "iou": "heatmap vs subject mask, IoU at the best single threshold",
}
TARGETS: Mapping[str, Mapping[str, float]] = {
    "one": {"identity": 0.90, "present": 0.98, "place": 0.95, "style": 0.95, "peak": 0.95, "iou": 0.60},
    "two": {
        "identity": 0.80,
        "swapped": 0.03,
        "present": 0.95,
        "place": 0.95,
        "style": 0.95,
        "peak": 0.95,
        "iou": 0.55,
    },
}
AT_MOST = frozenset({"swapped"})  # the others: at least
NOTES = {
    "one.swapped": "null: a picture of one subject has nobody to swap attributes with",
    "intervals": (
        "95 %: Wilson's score interval for shares, percentile bootstrap for iou; both count prompts, not pictures, as "
        "independent. n counts cases: subjects for identity, swapped, peak and iou, pictures for the others"
    ),
    "failures": (
        "a subject of which the referee finds no region counts as missed in identity, peak and iou; swapped looks at "
        "pictures in which every subject was found"
    ),
    "swapped": "the region looks more like another subject's photos than like its own, by colours and pattern",
    "upper": "the same scenes rendered; peak and iou there are the referee's own segmentation against exact masks",
    "lower": "the base model, LoRAs off, from the words alone; its heatmaps are those of its text attention",
}


def summarise_toybox(rows: Sequence[ToyboxScores]) -> dict[str, Any]:
    """The whole table as ``toybox.json`` holds it.

    ``one``, ``two`` and ``three`` are the model under test; ``upper`` and ``lower`` hold the same three for real
    renders and for the base model. Each measure is {"mean", "low", "high", "n"}, or null where it says nothing.
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
    """Every measure of pictures with the same number of subjects."""
    estimates = {
        **{name: _share(rows, name) for name in ("identity", "swapped", "present", "place", "style", "peak")},
        "iou": average(*_spread([(row, [curve[threshold] for curve in row.curves]) for row in rows])),
    }
    return {name: estimates[name].to_json() if estimates[name].n else None for name in MEASURES}


def _share(rows: Sequence[ToyboxScores], name: str) -> Estimate:
    values = ((row, getattr(row, name)) for row in rows)
    return proportion(*_spread([(row, value if isinstance(value, list) else [value]) for row, value in values]))


def _spread(values: Sequence[tuple[ToyboxScores, list[Any]]]) -> tuple[list[Any], list[int]]:
    """Values of all rows in one list, and the prompt that each belongs to."""
    return [x for _, own in values for x in own], [row.number for row, own in values for _ in own]


def write_toybox_report(rows: Sequence[ToyboxScores], folder: Path, about: Mapping[str, object]) -> dict[str, Any]:
    """Write ``toybox.json`` and ``toybox.md``; returns what the first holds. ``about``: how it was made."""
    table = {**summarise_toybox(rows), "about": dict(about)}
    write_text(folder / "toybox.json", json.dumps(table, indent=2) + "\n")
    write_text(folder / "toybox.md", toybox_markdown(table))
    return table


def toybox_markdown(table: Mapping[str, Any]) -> str:
    """The table for people: a row per measure, the aim beside each figure, bold where it is missed."""
    lines = [
        "| measure, by the referee | one subject | aim | two subjects | aim | three subjects |",
        "|---|---|---|---|---|---|",
        *(f"| {text} | {_cells(table, name)} |" for name, text in MEASURES.items()),
        "",
        "| the same for real renders (upper), the base model without photos (lower) | one | two | three |",
        "|---|---|---|---|",
    ]
    for kind in (UPPER, LOWER):
        for name in MEASURES:
            cells = " | ".join(_figure(table[kind][count][name]) for count in COUNTS.values())
            lines.append(f"| {kind}: {name} | {cells} |")
    return "\n".join([*lines, "", *_footnotes(table), ""])


def _cells(table: Mapping[str, Any], name: str) -> str:
    cells = []
    for count in COUNTS.values():
        aim = TARGETS.get(count, {}).get(name)
        figure = _figure(table[count][name])
        missed = aim is not None and table[count][name] is not None and not _reached(name, table[count][name], aim)
        cells.append(f"**{figure}**" if missed else figure)
        if count in TARGETS:
            cells.append("-" if aim is None else f"{'≤' if name in AT_MOST else '≥'} {aim:.2f}")
    return " | ".join(cells)


def _reached(name: str, figure: Mapping[str, float], aim: float) -> bool:
    return figure["mean"] <= aim if name in AT_MOST else figure["mean"] >= aim


def _figure(figure: Mapping[str, float] | None) -> str:
    if figure is None or math.isnan(figure["mean"]):
        return "-"
    return f"{figure['mean']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}, n {figure['n']})"


def _footnotes(table: Mapping[str, Any]) -> list[str]:
    about = ", ".join(f"{name} {value}" for name, value in table.get("about", {}).items())
    return [
        "Figures in bold miss their aim. In brackets: 95 % interval and number of cases.",
        *(f"* {name}: {text}." for name, text in NOTES.items()),
        f"* thresholds of the heatmaps: {', '.join(f'{kind} {at}' for kind, at in table['thresholds'].items())}.",
        f"* {about}.",
    ]
