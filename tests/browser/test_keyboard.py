"""A whole first visit with the keyboard alone, in Chromium against the stand-in model."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.page import DESK, LAPTOP, Open
from tests.helpers.stand_in import StandIn

FAR = 150  # presses of Tab from one end of the page to the other, and some

# Whether somebody sees where the focus is: something looks other than without it. Text fields have a caret.
SHOWS_FOCUS = """() => {
  const node = document.activeElement;
  if (node === document.body) return true;
  const looks = () => [node, node.nextElementSibling, node.parentElement].filter(Boolean).map((each) => {
    const style = getComputedStyle(each);
    const outline = style.outlineStyle !== "none" && style.outlineWidth !== "0px" ? style.outlineColor : "";
    return [outline, style.boxShadow, style.borderColor, style.backgroundColor].join();
  }).join(";");
  const focused = looks();
  node.blur();
  const resting = looks();
  node.focus({ preventScroll: true, focusVisible: true });
  return focused !== resting || node.matches("textarea, input[type=text], input[type=number]");
}"""


def _tab_to(page: Page, target: Locator, back: bool = False) -> None:
    """Press Tab until something has the focus; everything on the way must show that it has it."""
    wanted = target.element_handle()
    for _ in range(FAR):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate("node => node === document.activeElement", wanted):
            return
    raise AssertionError(f"no way by Tab to {target}")


def test_a_first_visit_by_keyboard(open_page: Open, model: StandIn) -> None:
    page = open_page(guided=True, **DESK)
    _tab_to(page, page.locator(".example").first)
    page.keyboard.press("Enter")  # which fills the fields and makes the picture
    note = page.locator("#result .guide")
    expect(note).to_be_visible()
    expect(page.locator("#generate")).to_be_visible()
    _tab_to(page, page.locator("#result .heatmap-box"))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#result .reading")).to_contain_text("cat")
    _tab_to(page, note.get_by_role("button"))
    page.keyboard.press("Enter")
    expect(note).to_have_count(0)

    _tab_to(page, page.locator("#prompt textarea"), back=True)
    page.keyboard.press("Control+a")
    page.keyboard.type("a cat in the snow")
    expect(page.locator("#chips .unplaced")).to_have_count(1)
    _tab_to(page, page.locator("#remove-2"))
    page.keyboard.press("Enter")
    expect(page.locator("#name-2 input")).to_be_hidden()
    expect(page.locator("#undo .undo-toast")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.locator("#name-2 input")).to_have_value("robot")
    _tab_to(page, page.locator("#remove-2"), back=page.evaluate("document.activeElement !== document.body"))
    page.keyboard.press("Enter")
    expect(page.locator("#name-2 input")).to_be_hidden()
    expect(page.locator("#chips .unplaced")).to_have_count(0)

    _tab_to(page, page.locator("#seen-1 [data-cut]").first)
    page.keyboard.press("Enter")
    expect(page.locator("#cutout dialog")).to_be_visible()
    _tab_to(page, page.locator("#cutout [data-edge='2']"))
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    _tab_to(page, page.locator("#cutout .apply"))
    page.keyboard.press("Enter")
    expect(page.locator("#cutout dialog")).to_be_hidden()

    page.keyboard.press("Control+Enter")
    expect(page.locator("#result .sentence mark")).to_have_text(["cat"])
    expect(page.locator("#generate")).to_be_visible()
    with page.expect_download():
        _tab_to(page, page.locator("#result .save"))
        page.keyboard.press("Enter")
    assert [len(request.subjects) for request in model.asked[-2:]] == [2, 1]

    _tab_to(page, page.get_by_role("tab", name="Compare", exact=True), back=True)
    page.keyboard.press("Enter")
    expect(page.locator("#compare-run")).to_be_visible()


def test_whatever_has_the_focus_shows_it(open_page: Open) -> None:
    for theme in ("light", "dark"):
        page = open_page(theme, **LAPTOP)
        page.locator("#random-toy-1").click()
        expect(page.locator("#seen-1 img")).to_have_count(3)
        page.locator("#settings > button").click()
        page.evaluate("document.activeElement.blur()")
        unseen, seen = [], set()
        for _ in range(FAR):
            page.keyboard.press("Tab")
            name = page.evaluate("document.activeElement.outerHTML.slice(0, 160)")
            if name in seen and len(seen) > 40:
                break
            seen.add(name)
            if not page.evaluate(SHOWS_FOCUS):
                unseen.append(name)
        assert unseen == []


def test_the_panel_of_theme_and_language_is_for_visitors_and_escape_leaves_it(open_page: Open) -> None:
    page = open_page(**DESK)
    opener = page.locator("footer button.settings")
    opener.click()
    panel = page.locator(".api-docs-wrap")
    expect(panel.get_by_role("button", name="Close")).to_be_focused()
    expect(panel.get_by_role("button", name="Dark")).to_be_visible()
    expect(panel.get_by_role("combobox", name="Language")).to_be_visible()
    for words in ("Progressive Web App", "Screen Studio"):
        expect(panel.get_by_text(words).first).to_be_hidden()
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(opener).to_be_focused()
