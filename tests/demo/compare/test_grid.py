"""What is kept of a comparison."""

from __future__ import annotations

import pytest

from demo.compare.grid import Comparison
from demo.compare.run import ComparisonRunner
from demo.compare.variants import VariantTable
from demo.form.form import Form
from demo.server.limits import local_limits
from mmdiff_core.errors import PhotoError
from tests.helpers.compare_tab import click_compare
from tests.helpers.stand_in import Values


def test_a_comparison_forgets_the_one_before(runner: ComparisonRunner, values: Values) -> None:
    values |= {runner.panel.omit: ["refiner"]}
    comparison = values[runner.panel.comparison]
    list(click_compare(runner, values))
    before = list(comparison.cells)
    list(click_compare(runner, values))
    assert len(comparison.cells) == 2
    with pytest.raises(PhotoError):
        comparison.get(before[0])


def test_photos_are_remembered_from_one_comparison_to_the_next() -> None:
    comparison = Comparison(local_limits())
    photos = comparison.history.photos
    comparison.begin(VariantTable(None, None, (), (), ()), Form("", ()))
    assert comparison.history.photos is photos
