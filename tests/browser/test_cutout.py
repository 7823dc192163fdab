"""Cutting a subject out of its photo, and drawing one, in Chromium against the stand-in model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from demo.server.limits import hosted_limits
from demo.server.service import Service
from tests.browser.page import PHONE, Open, fill_example, generate, painted
from tests.helpers.stand_in import StandIn, served


@pytest.fixture(scope="module")
def url(model: StandIn) -> Iterator[str]:
    """With the stricter limits, which what is cut out has to pass."""
    with served(Service(model, hosted_limits())) as url:  # type: ignore[arg-type]
        yield url


@pytest.fixture
def scene(tmp_path: Path) -> str:
    """A red disc at the left of a wide blue photo."""
    image = Image.new("RGB", (200, 100), "blue")
    ImageDraw.Draw(image).ellipse((20, 20, 80, 80), fill="red")
    image.save(tmp_path / "scene.png")
    return str(tmp_path / "scene.png")


def _upload(page: Page, path: str) -> None:
    page.locator("#photos-1 input[type=file]").first.set_input_files(path)
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)


def _open(page: Page, button: str = "#seen-1 [data-cut]") -> None:
    page.locator(button).first.click()
    expect(page.locator("#cutout dialog")).to_be_visible()


def _drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """On the paper, in fractions of it."""
    box = page.locator("#cutout .paper").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()


def _photo(page: Page, tmp_path: Path, number: int = 0) -> Image.Image:
    """What the card holds."""
    source = page.locator("#photos-1 .grid-container img").nth(number).get_attribute("src")
    (tmp_path / "held.png").write_bytes(page.request.get(source).body())
    return Image.open(tmp_path / "held.png")


def _apply(page: Page) -> None:
    seen, held = page.locator("#seen-1").inner_html(), page.locator("#photos-1 .grid-container img").all()
    photos = [photo.get_attribute("src") for photo in held]
    page.locator("#cutout .apply").click()
    expect(page.locator("#cutout dialog")).to_be_hidden()
    page.wait_for_function("before => document.querySelector('#seen-1').innerHTML !== before", arg=seen)
    page.wait_for_function(
        "before => [...document.querySelectorAll('#photos-1 .grid-container img')]"
        ".map(photo => photo.getAttribute('src')).join() !== before.join()",
        arg=photos,
    )


def test_a_box_crops_and_the_photo_is_replaced(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    _drag(page, (0.1, 0.2), (0.4, 0.8))
    _apply(page)
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)
    held = _photo(page, tmp_path)
    assert held.size == pytest.approx((60, 60), abs=3)
    assert held.convert("RGB").getpixel((held.width // 2, held.height // 2)) == (255, 0, 0)


def test_a_box_can_be_set_by_keyboard_and_cancelled(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    page.locator("#seen-1 [data-cut]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#cutout dialog")).to_be_visible()
    edge = page.locator("#cutout [data-edge='2']")
    edge.focus()
    for _ in range(50):
        page.keyboard.press("ArrowLeft")
    expect(edge).to_have_value("50")
    page.keyboard.press("Enter")  # throws nothing away
    expect(edge).to_have_value("50")
    expect(page.locator("#cutout dialog")).to_be_visible()
    page.locator("#cutout .undo").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#cutout dialog")).to_be_hidden()
    assert _photo(page, tmp_path).size == (200, 100)


def test_cancel_leaves_the_photo(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    _drag(page, (0.1, 0.2), (0.4, 0.8))
    page.locator("#cutout .cancel").click()
    expect(page.locator("#cutout dialog")).to_be_hidden()
    assert _photo(page, tmp_path).size == (200, 100)


def test_ctrl_enter_is_not_meant_for_what_stands_behind(open_page: Open, model: StandIn) -> None:
    page = open_page()
    fill_example(page)
    before = len(model.asked)
    _open(page)
    page.locator("#cutout [data-edge='2']").focus()
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(500)
    expect(page.locator("#generate")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#cutout dialog")).to_be_hidden()
    assert len(model.asked) == before
    page.keyboard.press("Control+Enter")  # but now it is
    expect(page.locator("#result .button-row")).to_be_visible()
    assert len(model.asked) == before + 1


def test_a_painted_mask_leaves_the_rest_transparent(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    page.locator("#cutout .tools label", has_text="Keep").click()
    _drag(page, (0.15, 0.5), (0.35, 0.5))
    _apply(page)
    held = _photo(page, tmp_path)
    assert held.mode == "RGBA"
    assert held.width < 110
    assert held.getpixel((0, 0))[3] == 0
    assert held.getpixel((held.width // 2, held.height // 2)) == (255, 0, 0, 255)


@pytest.mark.parametrize("painted", [False, True])
def test_a_large_noisy_photo_fits_into_a_request(open_page: Open, tmp_path: Path, painted: bool) -> None:
    noise = np.random.default_rng(0).normal(128, 40, (900, 1024, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page = open_page()
    _upload(page, str(tmp_path / "noise.png"))
    _open(page)
    if painted:
        page.locator("#cutout .tools label", has_text="Keep").click()
        page.locator("#cutout .brush").fill("40")
        _drag(page, (0.02, 0.02), (0.98, 0.98))
    _apply(page)
    held = _photo(page, tmp_path)
    assert held.mode == ("RGBA" if painted else "RGB")
    assert held.width / held.height == pytest.approx(1024 / 900, abs=0.05)
    assert held.width > 500


def test_nothing_left_cannot_be_used_and_undo_brings_it_back(open_page: Open, scene: str) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    page.locator("#cutout .tools label", has_text="Erase").click()
    page.locator("#cutout .brush").fill("40")
    for height in (0.1, 0.5, 0.9):
        _drag(page, (0.0, height), (1.0, height))
    expect(page.locator("#cutout .nothing")).to_be_visible()
    expect(page.locator("#cutout .apply")).to_be_disabled()
    page.locator("#cutout .undo").click()
    expect(page.locator("#cutout .apply")).to_be_enabled()


def test_its_own_transparency_cuts_a_photo(open_page: Open, tmp_path: Path) -> None:
    image = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(image).rectangle((100, 100, 149, 149), fill="red")
    image.save(tmp_path / "alpha.png")
    page = open_page()
    _upload(page, str(tmp_path / "alpha.png"))
    _open(page)
    _apply(page)
    assert _photo(page, tmp_path).size == pytest.approx((54, 54), abs=2)


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_a_drawn_subject_makes_a_picture(open_page: Open, model: StandIn, options: dict[str, object]) -> None:
    page = open_page(**options)
    _open(page, "#draw-1")
    expect(page.locator("#cutout .apply")).to_be_disabled()
    _drag(page, (0.2, 0.3), (0.8, 0.7))
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    _apply(page)
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)
    page.locator("#name-1 input").fill("cat")
    page.locator("#prompt textarea").fill("a cat")
    generate(page)
    expect(page.locator("#result .sentence mark")).to_have_text(["cat"])


def _shown_as_chosen(page: Page, tool: str) -> bool:
    """Whether a tool looks unlike the others."""
    return page.locator("#cutout .tools input:visible").evaluate_all(
        """(tools, chosen) => {
          const looks = Object.fromEntries(tools.map((tool) =>
            [tool.value, getComputedStyle(tool.nextElementSibling).backgroundColor]));
          const others = Object.entries(looks).filter(([value]) => value !== chosen).map(([, look]) => look);
          return others.length > 0 && !others.includes(looks[chosen]);
        }""",
        tool,
    )


def test_the_chosen_tool_is_shown(open_page: Open, scene: str) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    assert _shown_as_chosen(page, "box")
    page.locator("#cutout .tools label", has_text="Keep").click()
    assert _shown_as_chosen(page, "keep")
    page.keyboard.press("Escape")
    _open(page, "#draw-2")
    assert _shown_as_chosen(page, "pen")


def test_what_is_painted_outside_a_box_is_kept_too(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    _open(page)
    _drag(page, (0.1, 0.2), (0.4, 0.8))  # the disc
    page.locator("#cutout .tools label", has_text="Keep").click()
    _drag(page, (0.8, 0.5), (0.9, 0.5))
    page.locator("#cutout .tools label", has_text="Erase").click()
    _drag(page, (0.25, 0.5), (0.25, 0.5))  # the middle of the disc
    _apply(page)
    held = _photo(page, tmp_path)
    width, height = held.size
    assert width > 1.5 * 0.6 * 100  # from the disc to the stroke, far wider than the box
    alpha = np.asarray(held)[:, :, 3]
    assert alpha[height // 2, width // 2] == 0  # between the two
    assert alpha[height // 2, -2 - width // 20] == 255  # the stroke
    assert alpha[2, width // 20] == 255  # a corner of the box
    assert alpha[height // 2, int((0.25 - 0.1) * 200)] == 0  # what was erased again


def test_the_photo_as_it_was_can_be_taken_again(open_page: Open, scene: str, tmp_path: Path) -> None:
    page = open_page()
    _upload(page, scene)
    source = page.locator("#photos-1 .grid-container img").get_attribute("src")
    for box in ((0.1, 0.2), (0.2, 0.3)):  # cut twice
        _open(page)
        _drag(page, box, (0.9, 0.8))
        _apply(page)
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)
    page.wait_for_function(
        "() => Object.keys(JSON.parse(sessionStorage.getItem('mmdiff-originals') ?? '{}')).length === 2"
    )
    page.reload()
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)
    _open(page)
    page.locator("#cutout .original").click()
    expect(page.locator("#cutout .original")).to_be_hidden()
    _apply(page)
    assert page.locator("#photos-1 .grid-container img").get_attribute("src") == source
    assert _photo(page, tmp_path).size == (200, 100)


@pytest.mark.parametrize("button", ["#draw-1", "#seen-1 [data-cut]"], ids=["drawing", "photo"])
def test_what_the_dialog_was_left_with_is_there_again(open_page: Open, scene: str, button: str) -> None:
    """However it is closed, but not once it was used; and each stroke can still be undone."""
    page = open_page()
    _upload(page, scene)
    undo, resumed = page.locator("#cutout .undo"), page.locator("#cutout .resumed")
    _open(page, button)
    empty = painted(page, "#cutout .paper")
    for way in ("Escape", "Cancel"):
        _drag(page, (0.2, 0.3), (0.7, 0.5))
        drawn = painted(page, "#cutout .paper")
        assert drawn != empty
        page.keyboard.press("Escape") if way == "Escape" else page.locator("#cutout .cancel").click()
        expect(page.locator("#cutout dialog")).to_be_hidden()
        _open(page, "#draw-2")  # another one is empty
        expect(undo).to_be_disabled()
        expect(resumed).to_be_hidden()
        page.keyboard.press("Escape")
        _open(page, button)
        expect(resumed).to_be_visible()
        assert painted(page, "#cutout .paper") == drawn
        page.keyboard.press("Control+z")
        assert painted(page, "#cutout .paper") == empty
        expect(undo).to_be_disabled()
    _drag(page, (0.2, 0.3), (0.7, 0.5))
    _apply(page)
    _open(page, button)
    expect(undo).to_be_disabled()
    expect(resumed).to_be_hidden()


def test_where_nothing_is_drawn_the_model_sees_grey(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    _open(page, "#draw-1")

    def seen(x: int, y: int) -> list[int]:
        return page.locator("#cutout .sees").evaluate(
            "(sees, [x, y]) => [...sees.getContext('2d').getImageData(x, y, 1, 1).data]", [x, y]
        )

    assert seen(48, 48) == seen(1, 1) == [127, 127, 127, 255]
    _drag(page, (0.2, 0.5), (0.8, 0.5))  # far wider than high
    assert seen(48, 48) == [228, 87, 46, 255]  # the pen's colour
    assert seen(48, 5) == seen(48, 90) == [127, 127, 127, 255]
    page.locator("#cutout .apply").click()
    expect(page.locator("#seen-1 [data-cut]")).to_have_count(1)
    held = _photo(page, tmp_path)
    assert held.width == held.height


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_each_photo_says_that_its_subject_can_be_cut_out(
    open_page: Open, scene: str, options: dict[str, object]
) -> None:
    page = open_page(locale="de-DE", **options)
    page.locator("#photos-1 input[type=file]").first.set_input_files([scene, scene])
    ways = page.locator("#seen-1").get_by_role("button")
    expect(ways).to_have_text(["✂Freistellen"] * 2)
    expect(ways.nth(1)).to_have_accessible_name("Foto 2: Motiv freistellen")
    box = ways.nth(1).bounding_box()
    assert min(box["width"], box["height"]) >= 44
    ways.nth(1).click()
    expect(page.locator("#cutout dialog")).to_be_visible()
