"""Photos as people have them, dropped on a card: by their contents, and a bad one beside good ones."""

from __future__ import annotations

import io
import mimetypes
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pillow_heif
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from demo.page import build_ui
from demo.server.limits import local_limits
from demo.server.service import Service
from tests.browser.page import Open, generate
from tests.helpers.stand_in import StandIn, served_page

NAMES = {"a.jfif": "JPEG", "b.pjpeg": "JPEG", "c.mpo": "MPO", "d.tga": "TGA", "e": "PNG", "f.HEIC": "HEIF"}
DROP = """([target, files]) => {
  const transfer = new DataTransfer();
  for (const { name, data } of files) {
    transfer.items.add(new File([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], name));
  }
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
  const node = document.querySelector(target);
  for (const kind of ["dragenter", "dragover", "drop"]) node.dispatchEvent(new DragEvent(kind, options));
}"""


@pytest.fixture
def slim(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a table of types."""
    known = mimetypes.MimeTypes(filenames=())
    for suffix in (".jfif", ".avif", ".heic", ".tga", ".webp"):
        known.types_map[True].pop(suffix, None)
    monkeypatch.setattr(mimetypes, "_db", known)


@pytest.fixture
def small_uploads(model: StandIn) -> Iterator[str]:
    service = Service(model, replace(local_limits(), upload_mb=1))
    with served_page(build_ui(service)) as url:
        yield url


def _image(form: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.linear_gradient("L").convert("RGB").resize((64, 48))
    if form == "HEIF":
        pillow_heif.from_pillow(image).save(buffer)
    else:
        image.save(buffer, form)
    return buffer.getvalue()


def _drop(page: Page, files: dict[str, bytes]) -> None:
    """On the first card, as a file manager does."""
    sent = [{"name": name, "data": b64encode(data).decode()} for name, data in files.items()]
    page.evaluate(DROP, ["#photos-1 button:has(input[type=file]), #photos-1 input[type=file]", sent])


def test_photos_of_any_name_are_taken_and_a_bad_one_is_named(open_page: Open, slim: None) -> None:
    page = open_page()
    _drop(page, {name: _image(form) for name, form in NAMES.items()} | {"g.jpg": b"torn", "notes.pdf": b"%PDF"})
    expect(page.locator("#seen-1 button img")).to_have_count(len(NAMES))
    expect(page.locator("#photos-1 .grid-container img")).to_have_count(len(NAMES))
    page.wait_for_function(  # the browser shows each
        "[...document.querySelectorAll('#photos-1 .grid-container img')].every(one => one.naturalWidth > 0)"
    )
    for name in ("g.jpg", "notes.pdf"):
        expect(page.locator("#seen-1")).to_contain_text(f'Left out: "{name}" is not a picture')
    page.locator("#name-1 input, #name-1 textarea").fill("cat")
    page.locator("#prompt textarea").fill("a cat")
    generate(page)


def test_a_file_that_is_too_large_lets_the_others_through(open_page: Open, small_uploads: str) -> None:
    page = open_page(at=small_uploads)
    large = _image("PNG") + bytes(2 * 2**20)
    _drop(page, {"large.png": large, "small.png": _image("PNG")})
    expect(page.locator("#seen-1 button img")).to_have_count(1)
    expect(page.locator(".too-large")).to_have_text(
        "Left out, too large: “large.png”. A photo may have at most 1 MB here."
    )
    page.locator("#photos-1 input[type=file]").first.set_input_files(
        [{"name": "small.png", "mimeType": "image/png", "buffer": _image("JPEG")}]
    )
    expect(page.locator("#seen-1 button img")).to_have_count(2)
    expect(page.locator(".too-large")).to_have_count(0)


def test_the_dialog_offers_photos_alone(open_page: Open) -> None:
    page = open_page()
    with page.expect_file_chooser():
        page.locator("#photos-1 button:has(input[type=file])").first.click()
    assert ".heic" in (page.locator("#photos-1 input[type=file]").first.get_attribute("accept") or "")


def test_an_empty_card_says_what_to_do_with_it_in_the_page_s_language(open_page: Open) -> None:
    page = open_page(locale="de")
    expect(page.locator("#left .photos").first).to_contain_text("Fotos hier ablegen")
    expect(page.locator("#left .photos").first).to_contain_text("zum Auswählen klicken")
    page.set_viewport_size({"width": 1024, "height": 768})
    prompt = page.locator("#left .photos .prompt").first
    assert prompt.evaluate("node => node.scrollWidth <= node.clientWidth")  # nothing is cut off
