"""What a person does on the page, for the tests. Every helper returns when the page has come to rest.

They wait with ``wait_for``: an ``expect`` that does not hold yet describes the whole page each time it asks.
"""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.helpers.stand_in import StandIn

Open = Callable[..., Page]  # opens a page of its own session; the fixture ``open_page``
DESK = {"viewport": {"width": 1440, "height": 900}}
LAPTOP = {"viewport": {"width": 1024, "height": 768}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}

expect.set_options(timeout=60_000)


def cancelled(model: StandIn, page: Page, since: int) -> bool:
    """Whether the work stops, which it does at its next step."""
    for _ in range(300):
        if "cancelled" in model.log[since:]:
            return True
        page.wait_for_timeout(100)
    return False


# The page goes on to Generate once the fields are filled.
_ONLY_FILL = (
    "window.addEventListener('mmdiff-filled', (event) => event.stopImmediatePropagation(), {capture: true, once: true})"
)


def fill_example(page: Page, number: int = 0) -> None:
    """Fill in an example, without the picture that a click on it makes."""
    page.evaluate(_ONLY_FILL)
    page.locator(".example").nth(number).click()
    page.locator("#chips .word[data-slot]").first.wait_for()
    page.locator("#seen-1 img").nth(2).wait_for()


def generate(page: Page) -> None:
    """From the click to a picture that was not there, and the button's return, which the server sends last."""
    save = page.locator("#result .save")
    before = save.get_attribute("href")
    page.locator("#generate").click()
    if before:
        expect(save).not_to_have_attribute("href", before)
    page.locator("#result .button-row").wait_for()
    page.locator("#generate").wait_for()


def stop(page: Page, button: str = "#stop") -> None:
    """Returns when the server was told; the work may take until its next step, and the page says so."""
    with page.expect_request("**/cancel"):
        page.locator(button).click()
    expect(page.locator(button)).to_have_text("Stopping after this step …")


def open_settings(page: Page) -> None:
    page.locator("#settings button").first.click()
    page.locator("#seed input").wait_for()


def hand_over(page: Page, word: str, choice: str) -> None:
    """Click a word of the prompt and choose in its menu."""
    page.locator("#chips .word").get_by_text(word, exact=True).first.click()
    page.locator(".word-menu").get_by_text(choice, exact=True).click()
    expect(page.locator(".word-menu")).to_have_count(0)


def set_pictures(page: Page, count: int) -> None:
    """Open the settings and ask for so many pictures; again, as a person would, if the page was still being drawn."""
    open_settings(page)
    number, slider = (page.locator(f"#pictures input[type={kind}]") for kind in ("number", "range"))
    expect(number).to_be_visible()
    for _ in range(3):
        number.fill(str(count))
        number.press("Tab")
        page.wait_for_timeout(300)
        if slider.input_value() == str(count):
            break
    expect(slider).to_have_value(str(count))  # the page has taken it in


def overlay(page: Page) -> int:
    """A fingerprint of the heatmap's canvas; 0 where it is empty."""
    return painted(page, "#result .overlay")


def set_range(page: Page, selector: str, value: int) -> None:
    page.locator(selector).evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        value,
    )


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def compare(page: Page) -> None:
    """From the click on Compare to the button's return, which the server sends last."""
    page.locator("#comparison-grid .cells > *").evaluate_all(
        "tables => tables.forEach(table => (table.dataset.old = ''))"
    )
    page.locator("#compare-run").click()
    page.locator("#comparison-grid .cells > :not([data-old])").wait_for()
    page.locator("#compare-run").wait_for()
    page.locator("#comparison-grid .progress").wait_for(state="hidden")


def choose_grid(page: Page, columns: str, rows: str) -> None:
    """A grid of strength across and seed down, with these values."""
    page.locator("#compare-mode label", has_text="Grid").click()
    for field, values in (("#columns", columns), ("#rows", rows)):
        page.locator(f"{field} :is(input, textarea)").fill(values)
    count = len(columns.split()) * len(rows.split())
    expect(page.locator("#compare-summary .summary")).to_have_text(f"{count} pictures")


def painted(page: Page, canvas: str) -> int:
    """A fingerprint of a canvas; 0 where it is empty."""
    return page.locator(canvas).evaluate(
        """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
                     .reduce((sum, value, i) => (sum + value * (i % 997)) % 1000003, 0)"""
    )
