"""axe-core, as a package of the tests' brings it, over every tab, light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import pytest
from playwright.sync_api import Page, expect

from tests.browser.page import (
    PHONE,
    Open,
    choose_grid,
    compare,
    fill_example,
    generate,
    open_settings,
    open_tab,
    set_range,
)
from tests.helpers.stand_in import StandIn, served

AXE = files("axe_playwright_python") / "axe.min.js"
GRADIO_S = ["footer button.settings img", ".icon-button-wrapper"]  # its footer's icon, a gallery's upload buttons


@pytest.fixture(scope="module")
def url(model: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(model, tmp_path_factory.mktemp("votes") / "votes.sqlite3") as url:
        yield url


def violations(page: Page) -> list[list[str]]:
    """Theme, rule and first element of every violation, light and dark, outside of what is Gradio's own."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(
        """async exclude => {
          const found = [];
          const still = document.head.appendChild(document.createElement("style"));
          still.textContent = "* { transition: none !important; }"; // no colour on its way from one theme to the other
          for (const theme of ["light", "dark"]) {
            document.body.classList.toggle("dark", theme === "dark");
            const { violations } = await axe.run({ exclude: exclude.map(selector => [selector]) });
            found.push(...violations.map(({ id, nodes }) => [theme, id, nodes[0].html.slice(0, 200)]));
          }
          document.body.classList.remove("dark");
          still.remove();
          return found;
        }""",
        GRADIO_S,
    )


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.smoke), PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_of_ours(open_page: Open, options: dict[str, object]) -> None:
    page = open_page(**options)
    assert violations(page) == []
    fill_example(page)
    page.locator("#name-2 input").fill("owl")
    expect(page.locator("#chips .unplaced")).to_be_visible()
    page.locator("#generate").click()
    expect(page.locator("#field-errors .first-error")).to_be_visible()
    page.locator("#chips .word", has_text="beach").click()
    expect(page.locator(".word-menu")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.locator("#name-2 input").fill("robot")
    expect(page.locator(".field-error")).to_have_count(0)
    generate(page)
    open_settings(page)
    page.locator("#other-sizes > button").click()
    expect(page.locator("#width input[type=number]")).to_be_visible()
    page.wait_for_timeout(500)  # until Gradio listens to it
    set_range(page, "#width input[type=range]", 384)
    expect(page.locator("#size-warning")).to_be_visible()
    page.locator("#random-toy-1").click()
    toast = page.locator("#undo .undo-toast")
    expect(toast).to_be_visible()
    toast.evaluate("node => (node.style.position = node.closest('#undo').style.position = 'static')")
    page.locator("#generate").evaluate("button => (button.closest('#reach').style.position = 'static')")
    assert violations(page) == []


def test_axe_finds_nothing_of_ours_on_the_other_tabs(open_page: Open) -> None:
    page = open_page()
    for tab in page.get_by_role("tab").all()[1:]:
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        assert violations(page) == [], tab.inner_text()


def test_axe_finds_nothing_of_ours_in_the_cut_out_dialog_and_the_guide(open_page: Open) -> None:
    page = open_page(guided=True)
    page.locator(".example").first.click()
    expect(page.locator("#result .guide")).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    page.locator("#generate").evaluate("button => (button.closest('#reach').style.position = 'static')")
    assert violations(page) == []
    page.locator("#seen-1 [data-cut]").first.click()
    expect(page.locator("#cutout dialog")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_of_ours_in_compare_and_vote(open_page: Open, options: dict[str, object]) -> None:
    page = open_page(**options)
    fill_example(page)
    open_tab(page, "Compare")
    expect(page.locator("#compare-summary .summary")).to_have_text("7 pictures")
    assert violations(page) == []
    compare(page)
    assert violations(page) == []
    choose_grid(page, "0.5 1", "5")
    compare(page)
    assert violations(page) == []
    open_tab(page, "Vote")
    page.locator("#ballot label", has_text="Left").first.click()
    assert violations(page) == []
    page.locator("#ballot .vote-save").click()
    expect(page.locator("#ballot .welcome-title")).to_contain_text("every pair")
    page.locator("#ballot .results > summary").click()
    page.locator("#ballot .vote-reset").click()
    assert violations(page) == []
    page.locator("#ballot .reset-yes").click()
    expect(page.locator("#ballot .tally-help")).to_have_text("There are no answers yet.")
