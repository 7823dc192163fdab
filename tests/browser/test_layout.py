"""What covers what, and what is in sight, at three widths and in four languages; in Chromium against the stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest
from playwright.sync_api import Page, expect

from tests.browser.page import DESK, LAPTOP, PHONE, Open, fill_example, generate, open_settings

SCREENS = {"desk": DESK, "laptop": LAPTOP, "phone": PHONE}
LOCALES = ("en-GB", "de-DE", "es-MX", "zh-CN")

# Points of Generate's bar where something else is on top, at any place of the page.
PAINTED_OVER = """() => {
  const reach = document.querySelector("#reach");
  const found = [];
  for (let top = 0; top <= document.documentElement.scrollHeight - innerHeight; top += 61) {
    scrollTo({ top, behavior: "instant" });
    const { left, right, top: from, bottom: to } = reach.getBoundingClientRect();
    if (from >= innerHeight || to <= 0) continue;
    for (let x = left + 2; x < right; x += 23) {
      for (let y = from + 2; y < Math.min(to, innerHeight); y += 7) {
        const node = document.elementFromPoint(x, y);
        if (node && !reach.contains(node)) found.push(`${top}: ${node.outerHTML.slice(0, 120)}`);
      }
    }
  }
  scrollTo({ top: 0, behavior: "instant" });
  return found;
}"""

# Fields and buttons that lie under the bar, in part or in whole, once they have the focus.
FOCUSED_UNDER = """() => {
  const reach = document.querySelector("#reach");
  const nodes = [...document.querySelectorAll("#left :is(button, input, textarea, summary, [tabindex])")];
  const found = [];
  for (const node of nodes) {
    if (node.disabled || node.type === "file" || reach.contains(node) || !node.checkVisibility()) continue;
    for (const start of [0, document.documentElement.scrollHeight]) {
      scrollTo({ top: start, behavior: "instant" });
      node.blur();
      node.focus();
      if (document.activeElement !== node) continue;
      const [box, bar] = [node.getBoundingClientRect(), reach.getBoundingClientRect()];
      if (box.bottom > bar.top + 0.5 && box.top < bar.bottom) found.push(`${start}: ${node.outerHTML.slice(0, 120)}`);
    }
  }
  document.activeElement.blur();
  scrollTo({ top: 0, behavior: "instant" });
  return found;
}"""


# Fields whose outline, once they have the focus, is cut off by a part that they stand in.
CUT_OUTLINES = """() => {
  const isCut = (node) => {
    node.focus({ preventScroll: true, focusVisible: true });
    const { outlineWidth, outlineOffset } = getComputedStyle(node);
    const more = parseFloat(outlineWidth) + parseFloat(outlineOffset);
    const box = node.getBoundingClientRect();
    for (let part = node.parentElement; part.id !== "left"; part = part.parentElement) {
      if (getComputedStyle(part).overflowX === "visible") continue;
      const { left, right, top, bottom } = part.getBoundingClientRect();
      const over = [left - box.left, box.right - right, top - box.top, box.bottom - bottom].map((by) => by + more);
      if (Math.max(...over) > 0.6) return true;
    }
    return false;
  };
  return [...document.querySelectorAll("#left :is(input:not([type=file]), .reset-button, .label-wrap)")]
    .filter((node) => !node.disabled && node.checkVisibility())
    .filter(isCut).map((node) => node.outerHTML.slice(0, 120));
}"""


def _is_clear_of_the_bar(page: Page, selector: str) -> bool:
    """Whether all of a part is in sight above Generate, and on top at its middle and its edges."""
    return page.locator(selector).first.evaluate(
        """node => {
          const [box, bar] = [node.getBoundingClientRect(), document.querySelector("#reach").getBoundingClientRect()];
          const heights = [box.top + 3, (box.top + box.bottom) / 2, box.bottom - 3];
          const free = heights.every((y) => node.contains(document.elementFromPoint((box.left + box.right) / 2, y)));
          return free && box.top >= 0 && box.bottom <= bar.top;
        }"""
    )


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("screens", [("desk", "laptop"), ("phone",)], ids="-".join)
def test_generate_covers_nothing_and_nothing_covers_it(open_page: Open, screens: Sequence[str], locale: str) -> None:
    page = open_page(locale=locale, **SCREENS[screens[0]])

    def look(check: Callable[[], None]) -> None:
        for screen in screens:
            page.set_viewport_size(SCREENS[screen]["viewport"])
            page.evaluate("window.scrollTo(0, 0)")
            check()

    def prompt_is_clear() -> None:
        assert _is_clear_of_the_bar(page, "#prompt textarea")

    def words_are_clear() -> None:
        prompt_is_clear()
        assert _is_clear_of_the_bar(page, "#chips .word")

    def nothing_is_covered() -> None:
        assert page.evaluate(PAINTED_OVER) == []
        assert page.evaluate(FOCUSED_UNDER) == []
        assert page.evaluate(CUT_OUTLINES) == []
        assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]

    look(prompt_is_clear)
    fill_example(page)
    look(words_are_clear)
    page.locator("#name-2 input").fill("owl")  # so that a line stands above the button
    expect(page.locator("#chips .unplaced")).to_have_count(1)
    page.locator("#generate").click()
    expect(page.locator("#field-errors .first-error")).to_be_visible()
    open_settings(page)
    look(nothing_is_covered)


# Parts that a finger has to hit and that are less than 44 pixels high; words inside of a line are as high as the line.
SMALL_TARGETS = """() => {
  const shownHeight = (node) => {
    const { top, bottom } = node.getBoundingClientRect();
    const box = node.parentElement.getBoundingClientRect(); // may clip it
    const clips = getComputedStyle(node.parentElement).overflow === "hidden";
    return clips ? Math.min(bottom, box.bottom) - Math.max(top, box.top) : bottom - top;
  };
  return [...document.querySelectorAll(
    "#studio :is(button, a, select, summary, input[type=number], input[type=range], input[type=text], textarea)")]
  .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.disabled)
  .filter((node) => !node.closest(".sentence:not(.chips), .strip, p:not(.chips, .seen-strip, .field-error)"))
  .filter((node) => shownHeight(node) < 43.5)
  .map((node) => `${Math.round(node.getBoundingClientRect().height)}: ${node.outerHTML.slice(0, 110)}`);
}"""


def test_fingers_hit_what_is_meant(open_page: Open) -> None:
    page = open_page(**PHONE)
    fill_example(page)
    generate(page)
    open_settings(page)
    assert page.evaluate(SMALL_TARGETS) == []


@pytest.mark.parametrize("screen", list(SCREENS))
def test_picture_and_heatmap_are_in_sight(open_page: Open, screen: str) -> None:
    page = open_page(**SCREENS[screen])
    fill_example(page)
    generate(page)
    page.wait_for_function("() => document.querySelector('#result .bare').naturalWidth > 0")
    if screen == "phone":
        page.locator("#result").scroll_into_view_if_needed()
        page.evaluate("document.querySelector('#result').scrollIntoView({ behavior: 'instant' })")
    else:
        page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    for part in (".bare", ".heatmap-box"):
        box = page.locator(f"#result {part}").bounding_box()
        assert box["y"] >= -1
        assert box["y"] + box["height"] <= page.viewport_size["height"]


def test_no_heading_says_what_the_tab_says(open_page: Open) -> None:
    page = open_page()
    for tab in page.get_by_role("tab").all():
        tab.click()
        name = tab.inner_text().strip()
        seen = page.locator("h2:visible").evaluate_all(
            "all => all.filter((node) => node.offsetHeight > 4).map((node) => node.textContent)"
        )
        assert name not in seen


@pytest.mark.parametrize("locale", LOCALES)
def test_the_buttons_of_a_card_stand_in_one_row_and_its_number_is_whole(open_page: Open, locale: str) -> None:
    page = open_page(locale=locale, **LAPTOP)
    fill_example(page)
    buttons = page.locator(".card-tools").first.get_by_role("button").all()
    assert len({button.bounding_box()["y"] for button in buttons}) == 1
    card, number = (page.locator(name).first.bounding_box() for name in (".card", "#strength-1 .reset-button"))
    assert number["x"] + number["width"] <= card["x"] + card["width"]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("locale", ["en-GB", "es-MX"])
def test_the_sliders_of_four_subjects_can_be_moved(open_page: Open, screen: str, locale: str) -> None:
    page = open_page(locale=locale, **SCREENS[screen])
    sliders = page.locator(".card input[type=range]:visible")
    for count in (2, 3, 4):
        expect(sliders).to_have_count(count)
        assert min(slider.bounding_box()["width"] for slider in sliders.all()) >= 120
        if count < 4:
            page.locator("#add-subject").click()


@pytest.mark.parametrize("screen", SCREENS)
def test_the_prompt_s_error_stands_below_its_field(open_page: Open, screen: str) -> None:
    page = open_page(**SCREENS[screen])
    page.locator("#generate").click()
    note, field = page.locator("#error-prompt"), page.locator("#prompt textarea")
    expect(note).to_be_visible()
    below, above = note.bounding_box(), field.bounding_box()
    assert below["y"] >= above["y"] + above["height"]
    note.scroll_into_view_if_needed()
    assert note.evaluate(
        """node => {
          const { left, top } = node.getBoundingClientRect();
          return node.contains(document.elementFromPoint(left + 9, top + 9));
        }"""
    )


def test_a_chosen_button_stays_chosen_under_the_pointer(open_page: Open) -> None:
    """Gradio's own style paints it white on white."""
    page = open_page()
    radio = page.get_by_role("radio", name="Inspect a prompt")
    radio.click()
    expect(radio).to_be_checked()
    colours = []
    for point in (radio, page.locator("#prompt textarea")):
        point.hover()
        colours.append(radio.evaluate("node => getComputedStyle(node).backgroundColor"))
    assert colours[0] == colours[1] != "rgb(255, 255, 255)"


def test_the_footer_of_a_phone_divides_nothing_from_nothing(open_page: Open) -> None:
    page = open_page(**PHONE)
    footer = page.locator("footer")
    footer.scroll_into_view_if_needed()
    expect(footer).to_have_text(re.compile("Theme and language"))
    shown = footer.locator("button:visible")
    expect(footer.locator(".divider:visible")).to_have_count(shown.count() - 1)


# What can be clicked and lies, at least in part, below the toast.
_BELOW = """toast => {
  const box = toast.getBoundingClientRect();
  const all = [...document.querySelectorAll("button, a[href], input, select, textarea, summary, [tabindex='0']")];
  const isBelow = ({ left, right, top, bottom }) =>
    right > left && left < box.right && right > box.left && top < box.bottom && bottom > box.top;
  return all.filter(node => !toast.contains(node) && isBelow(node.getBoundingClientRect())).map(node => node.outerHTML);
}"""


@pytest.mark.parametrize("screen", SCREENS)
def test_the_toast_covers_nothing_that_can_be_clicked(open_page: Open, screen: str) -> None:
    page = open_page(**SCREENS[screen])
    fill_example(page)
    page.locator("#random-toy-1").click()
    toast = page.locator("#undo .undo-toast")
    expect(toast).to_be_visible()
    page.wait_for_timeout(800)  # it moves once the page stands still
    assert toast.evaluate(_BELOW) == []
    toast.get_by_role("button", name="Undo").click()
    expect(toast).to_be_hidden()
