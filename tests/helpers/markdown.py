"""Markdown tables as rows of cells."""

from __future__ import annotations


def cells(text: str) -> list[list[str]]:
    """Return the cells of every line that is a row of a table, the rule below the header included."""
    rows = (line for line in text.splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
