"""Blind votes, in Chromium against the stand-in model."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from demo.page import build_ui
from demo.vote.store import VoteStore
from tests.browser.page import PHONE, Open, choose_grid, compare, fill_example, open_tab
from tests.helpers.stand_in import StandIn, served, served_page


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> VoteStore:
    return VoteStore(tmp_path_factory.mktemp("votes") / "votes.sqlite3")


@pytest.fixture(scope="module")
def url(model: StandIn, box: VoteStore) -> Iterator[str]:
    with served(model, box.path) as url:
        yield url


def _ready(page: Page) -> None:
    """Three pictures are compared, and the first pair is asked."""
    fill_example(page)
    open_tab(page, "Compare")
    choose_grid(page, "0.5 1 1.5", "5")
    compare(page)
    open_tab(page, "Vote")
    expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 3")


def _answer(page: Page, question: int, side: str) -> None:
    page.locator("#ballot .questions .control").nth(question).locator("label", has_text=side).click()


def test_from_a_comparison_to_a_tally(open_page: Open, box: VoteStore, tmp_path: Path) -> None:
    box.clear()
    page = open_page()
    open_tab(page, "Vote")
    expect(page.locator("#ballot .welcome-title")).to_have_text("There is no pair yet")
    open_tab(page, "Studio")
    _ready(page)
    expect(page.locator("#ballot .sentence mark")).to_have_text(["cat", "robot"])
    expect(page.locator("#ballot .references img")).to_have_count(6)
    expect(page.locator("#ballot .vote-save")).to_be_disabled()
    expect(page.locator("#ballot .vote-save")).to_have_accessible_description("Answer at least one question to save.")
    expect(page.locator("#vote-why")).to_be_visible()
    shown = page.locator("#ballot .ballot").inner_html()
    assert "0.5" not in shown
    assert "trength" not in shown  # nothing tells which is which

    _answer(page, 0, "Left")
    _answer(page, 2, "Equal")
    expect(page.locator("#vote-why")).to_be_hidden()
    page.locator("#ballot .vote-save").click()
    expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 2")
    expect(page.locator("#ballot .reveal .pair")).to_be_hidden()
    page.locator("#ballot .reveal summary").click()
    expect(page.locator("#ballot .reveal figcaption")).to_have_text(
        [re.compile("^Left: Strength"), re.compile("^Right: Strength")]
    )
    expect(page.locator("#ballot .reveal img").first).to_be_visible()
    expect(page.locator("#ballot input:checked")).to_have_count(0)
    page.locator("#ballot .vote-skip").click()
    expect(page.locator("#ballot .reveal")).to_be_hidden()
    expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 2")  # it comes back
    for number in (1, 0):
        _answer(page, 1, "Equal")
        page.locator("#ballot .vote-save").click()
        if number:
            expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 1")
            expect(page.locator("#ballot .vote-skip")).to_be_hidden()  # there is no other
    expect(page.locator("#ballot .welcome-title")).to_contain_text("every pair")

    votes = box.all()
    assert [(vote.question, vote.choice) for vote in votes] == [
        ("subject", votes[0].left_side),
        ("better", "neither"),
        ("text", "neither"),
        ("text", "neither"),
    ]
    page.locator("#ballot .results > summary").click()
    expect(page.locator("#ballot .tally tbody tr")).to_have_count(4)
    expect(page.locator("#ballot .tally caption").first).to_contain_text("Strength ")
    with page.expect_download() as download:
        page.locator("#ballot .vote-export").click()
    lines = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    assert [line["question"] for line in lines] == ["subject", "better", "text", "text"]


def test_pairs_come_to_a_tab_that_waits_for_them(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    open_tab(page, "Compare")
    choose_grid(page, "0.5 1 1.5", "5")
    with model.held(1, 2):
        page.locator("#compare-run").click()
        expect(page.locator("#compare-stop")).to_be_visible()
        open_tab(page, "Vote")
        expect(page.locator("#ballot .welcome-title")).to_have_text("There is no pair yet")
    expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 3")


def test_deleting_asks_first(open_page: Open, box: VoteStore) -> None:
    page = open_page()
    _ready(page)
    _answer(page, 1, "Right")
    page.locator("#ballot .vote-save").click()
    expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 2")
    count = len(box.all())
    page.locator("#ballot .results > summary").click()
    page.locator("#ballot .vote-reset").click()
    expect(page.locator("#ballot .sure-text")).to_have_text(f"Delete all {count} answers?")
    page.locator("#ballot .reset-no").click()
    assert len(box.all()) == count
    page.locator("#ballot .vote-reset").click()
    page.locator("#ballot .reset-yes").click()
    expect(page.locator("#ballot .tally-help")).to_have_text("There are no answers yet.")
    assert box.all() == []


def test_visitors_of_a_hosted_page_cannot_delete(open_page: Open, model: StandIn, box: VoteStore) -> None:
    with served_page(build_ui(model, votes=box.path, hosted=True)) as url:  # type: ignore[arg-type]
        page = open_page(at=url)
        _ready(page)
        _answer(page, 1, "Right")
        page.locator("#ballot .vote-save").click()
        expect(page.locator("#ballot .pairs-left")).to_have_text("Pairs left: 2")
        page.locator("#ballot .results > summary").click()
        expect(page.locator("#ballot .vote-export")).to_be_visible()
        expect(page.locator("#ballot .vote-reset")).to_be_hidden()


def test_a_phone_can_vote(open_page: Open) -> None:
    page = open_page(**PHONE)
    _ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    left, right = (page.locator("#ballot .pair img").nth(i).bounding_box() for i in range(2))
    assert left["y"] == right["y"]  # beside each other
    assert right["x"] + right["width"] <= 390
