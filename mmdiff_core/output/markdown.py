"""Markdown tables of the reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tabulate import tabulate


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table whose cells read as they are given."""
    return tabulate([list(map(str, row)) for row in rows], headers, tablefmt="github", disable_numparse=True)


def estimate_cell(estimate: Mapping[str, float] | None, count: str = "", sign: str = "") -> str:
    """Return a mean and its interval, or "-" where there is none.

    Args:
        estimate: "mean", "low", "high" and "n", as ``Estimate.to_json`` returns them.
        count: goes before the number of cases; without it the number is left out.
        sign: "+" writes the sign of positive numbers, too.
    """
    if estimate is None or math.isnan(estimate["mean"]):
        return "-"
    mean, low, high = (f"{estimate[name]:{sign}.3f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low} to {high}{count}{estimate['n'] if count else ''})"


def settings_line(settings: Mapping[str, object]) -> str:
    """Return names and values, separated by commas."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
