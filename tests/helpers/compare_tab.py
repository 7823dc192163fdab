"""The Compare tab around a stand-in, without a browser."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from demo.compare.panel import AXIS, GRID, OMIT
from demo.compare.run import ComparisonRunner
from demo.compare.tab import CompareTab
from demo.compare.variants import (
    VariantTable,
)
from demo.server.service import Service
from demo.studio.tab import StudioTab
from tests.helpers.stand_in import StandIn, Values


def comparison_runner(model: StandIn | Service) -> ComparisonRunner:
    studio = StudioTab(model)  # type: ignore[arg-type]
    tab = CompareTab(model, studio)  # type: ignore[arg-type]
    with gr.Blocks():
        studio.render()
        tab.render()
    return tab.runner


def filled_fields(runner: ComparisonRunner, photo: str) -> Values:
    """A cat and a robot in the Studio, seed 4."""
    form, panel = runner.form, runner.panel
    values: Values = {field: getattr(field, "value", None) for field in (*form.fields, *panel.fields)}
    for card in form.compose.cards:
        values |= {card.name: None, card.photos: None, card.rejected: ()}
    for card, name in zip(form.compose.cards, ("cat", "robot"), strict=False):
        values |= {card.name: name, card.photos: [(photo, None)]}
    values |= {form.compose.prompt: "a cat and a robot", form.settings.seed: 4, form.settings.pictures: 3}
    values |= {panel.comparison: panel.comparison.value, panel.mode: OMIT}
    return values


def variant_table(runner: ComparisonRunner, values: Values) -> VariantTable:
    return runner.table(runner.form.read(values), values)


def click_compare(runner: ComparisonRunner, values: Values) -> Iterator[gr.HTML]:
    """Click on Compare."""
    (checked,) = runner.check(values)
    return runner.run(checked[runner.panel.planned], values[runner.panel.comparison])


def grid_fields(runner: ComparisonRunner, across: str, columns: str, down: str, rows: str) -> Values:
    panel = runner.panel
    return {
        panel.mode: GRID, panel.across: AXIS(across), panel.columns: columns, panel.down: AXIS(down), panel.rows: rows,
    }  # fmt: skip
