"""Faces by click, in Chromium against the stand-in model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from mmdiff_core.types import FaceChoice
from tests.browser.page import Open, generate
from tests.helpers.faces import BLUE, GREEN, RED, Squares, group, identity
from tests.helpers.stand_in import StandIn, served


@pytest.fixture(scope="module")
def model() -> StandIn:
    return StandIn(faces=Squares())


@pytest.fixture(scope="module")
def url(model: StandIn) -> Iterator[str]:
    with served(model) as url:
        yield url


def _drop(page: Page, folder: Path, **photos: object) -> None:
    for name, image in photos.items():
        image.save(folder / f"{name}.png")  # type: ignore[attr-defined]
    page.locator("#photos-1 input[type=file]").set_input_files([str(folder / f"{name}.png") for name in photos])
    expect(page.locator("#faces-1 .face-photo")).to_have_count(len(photos))


def test_a_face_is_chosen_by_click_and_mixed_by_weight(open_page: Open, model: StandIn, tmp_path: Path) -> None:
    page = open_page()
    _drop(page, tmp_path, two=group(RED, GREEN, sizes=(6, 10)), one=group(BLUE))
    faces = page.locator("#faces-1 .face-photo").first.locator(".face")
    expect(faces).to_have_count(2)
    expect(faces.nth(1)).to_have_attribute("aria-pressed", "true")  # the largest
    expect(page.locator("#faces-1 .hint")).to_have_text("Click the face you mean.")
    with page.expect_response("**/run/**"):
        faces.first.click()
    expect(faces.first).to_have_attribute("aria-pressed", "true")
    expect(faces.nth(1)).to_have_attribute("aria-pressed", "false")
    expect(faces.first).to_have_attribute("aria-label", "Face 1 of photo 1")
    weight = page.locator("#faces-1 .face-weight input").nth(1)
    weight.fill("0.5")
    with page.expect_response("**/run/**"):
        weight.press("Tab")
    page.locator("#name-1 input").fill("man")
    page.locator("#prompt textarea").fill("a man in the park")
    generate(page)
    (man,) = model.asked[-1].subjects
    assert man.choices == (FaceChoice(1, 1.0), FaceChoice(1, 0.5))
    assert [face.embedding for face in man.faces] == [identity(RED), identity(BLUE)]


def test_a_photo_without_a_face_is_said_beside_it(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    _drop(page, tmp_path, none=group())
    expect(page.locator("#faces-1 .field-error")).to_contain_text("No face found: use a photo")
    page.locator("#name-1 input").fill("man")
    page.locator("#prompt textarea").fill("a man in the park")
    expect(page.locator("#chips .word[data-slot]")).to_have_text("man")  # what was typed is looked through
    page.locator("#generate").click()
    expect(page.locator("#seen-1 .field-error")).to_contain_text("shows no face that can be found")
