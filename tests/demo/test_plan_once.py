"""One click plans each image once, and decodes each photo once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageFile

from demo.compare.panel import AXIS, GRID, NOTHING
from demo.compare.tab import CompareTab
from demo.server.limits import local_limits
from demo.server.service import Service
from demo.studio.tab import StudioTab
from demo.viewer.history import History
from mmdiff_core.types import GenerateRequest
from tests.helpers.stand_in import Plan, StandIn

Values = dict[Any, Any]


@dataclass
class CountingModel(StandIn):
    """Counts how often a request is planned."""

    planned: list[GenerateRequest] = field(default_factory=list)

    def plan(self, request: GenerateRequest) -> Plan:
        self.planned.append(request)
        return super().plan(request)


@dataclass
class Page:
    """Both tabs around a model that counts."""

    model: CountingModel
    studio: StudioTab
    compare: CompareTab
    values: Values


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{colour}.png" for colour in ("orange", "blue", "green")]
    for path in paths:
        Image.new("RGB", (64, 48), path.stem).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def page(photos: list[str]) -> Page:
    """A cat of two photos and a robot of one."""
    model = CountingModel()
    service = Service(model, local_limits())  # type: ignore[arg-type]
    studio = StudioTab(service)
    compare = CompareTab(service, studio)
    with gr.Blocks():
        studio.render()
        compare.render()
    form, panel = studio.form, compare.panel
    values: Values = {field: getattr(field, "value", None) for field in (*form.fields, *panel.fields)}
    for card in form.compose.cards:
        values |= {card.name: None, card.photos: None, card.rejected: ()}
    for card, name, given in zip(form.compose.cards, ("cat", "robot"), (photos[:2], photos[2:]), strict=False):
        values |= {card.name: name, card.photos: [(path, None) for path in given]}
    values |= {form.compose.prompt: "a cat and a robot", form.settings.fresh: False, form.settings.seed: 4}
    return Page(model, studio, compare, values)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photo files whose pixels Pillow decodes, in turn; reading a header does not count."""
    files: list[str] = []
    really_prepare = ImageFile.ImageFile.load_prepare

    def noting(image: ImageFile.ImageFile) -> None:
        files.append(str(image.filename))
        really_prepare(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", noting)
    return files


def _drop_photos(page: Page) -> None:
    """What happens when photos are dropped, before anybody clicks."""
    for card in page.studio.form.compose.cards[:2]:
        card._check(page.values[card.photos])
        card._see(page.values[card.photos])


def _exhaust(updates: Iterator[Any]) -> Any:
    *_, last = updates
    return last


def test_generate_plans_once_and_decodes_each_photo_once(page: Page, photos: list[str], decoded: list[str]) -> None:
    _drop_photos(page)
    generation = page.studio.generation
    update = _exhaust(generation.check(page.values))
    _exhaust(generation.run(update[generation.actions.planned], History()))
    assert len(page.model.planned) == 1
    assert page.model.log[-1] == "finished"
    assert sorted(decoded) == sorted(photos)


def test_a_comparison_of_twelve_plans_twelve_times_and_decodes_each_photo_once(
    page: Page, photos: list[str], decoded: list[str]
) -> None:
    _drop_photos(page)
    panel, comparing = page.compare.panel, page.compare.runner
    values = page.values | {panel.mode: GRID, panel.across: AXIS("strength"), panel.columns: "0.25 0.5 0.75 1"}
    values |= {panel.down: AXIS("seed"), panel.rows: "1-3"}
    comparing.review(values)  # the tab counts the images while the fields are filled in
    assert page.model.planned == []
    update = _exhaust(comparing.check(values))
    _exhaust(comparing.run(update[panel.planned], panel.comparison.value))
    assert len(page.model.planned) == 12
    assert page.model.log.count("finished") == 12
    assert sorted(decoded) == sorted(photos)


def test_a_click_that_is_refused_keeps_no_plan(page: Page) -> None:
    generation = page.studio.generation
    values = page.values | {page.studio.form.compose.prompt: "a dog"}
    updates = generation.check(values)
    assert generation.actions.planned not in next(updates)
    with pytest.raises(gr.Error):
        next(updates)
    panel = page.compare.panel
    checked = page.compare.runner.check(values | {panel.mode: GRID, panel.down: NOTHING})
    assert panel.planned not in next(checked)
    assert page.model.planned == []
