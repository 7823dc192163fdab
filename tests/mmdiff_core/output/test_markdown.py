"""Markdown tables of reports, and the numbers in them."""

from __future__ import annotations

import math

from mmdiff_core.output.markdown import estimate_cell, markdown_table, settings_line
from tests.helpers.markdown import cells

ESTIMATE = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 8}


def test_cells_read_as_they_are_given() -> None:
    table = markdown_table(["", "x"], [["a", "1.50"], ["≥ 2", 3]])
    assert cells(table) == [["", "x"], ["-----", "------"], ["a", "1.50"], ["≥ 2", "3"]]


def test_estimates_have_their_interval_and_their_number() -> None:
    assert estimate_cell(ESTIMATE) == "0.500 (0.250 to 0.750)"
    assert estimate_cell(ESTIMATE, ", n ") == "0.500 (0.250 to 0.750, n 8)"
    assert estimate_cell(ESTIMATE, sign="+") == "+0.500 (+0.250 to +0.750)"
    assert estimate_cell(None) == estimate_cell({**ESTIMATE, "mean": math.nan}) == "-"


def test_settings_are_one_line() -> None:
    assert settings_line({"model": "m", "seeds": [0, 1]}) == "model m, seeds [0, 1]"
