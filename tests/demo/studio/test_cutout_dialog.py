"""What was cut out or drawn comes to its card, and the photo as it was comes back."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from demo.form.examples import RandomToys
from demo.studio.compose_panel import ComposePanel
from demo.studio.cutout_dialog import CutoutDialog
from demo.web.cached_files import photo_path


@pytest.fixture
def dialog() -> CutoutDialog:
    compose = ComposePanel(RandomToys())
    dialog = CutoutDialog(compose)
    with gr.Blocks():
        compose.render()
        dialog.render()
    return dialog


def _data_url(colour: str) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _cut(dialog: CutoutDialog, photos: list[str], **event: object) -> dict[object, object]:
    given = {"slot": 1, "number": 0, "image": None, "original": None} | event
    values = {card.photos: [(path, None) for path in photos] if card.slot == 1 else [] for card in dialog.cards}
    values |= {dialog.undo.stack: ()}
    return dialog._cut(SimpleNamespace(**given), values)


def test_a_cut_takes_the_place_of_its_photo_and_names_it(dialog: CutoutDialog) -> None:
    one, two = (photo_path(Image.new("RGB", (16, 16), colour)) for colour in ("red", "blue"))
    update = _cut(dialog, [one, two], number=1, image=_data_url("green"))
    photos = update[dialog.cards[1].photos]
    assert photos[0] == one
    assert Image.open(photos[1]).getpixel((0, 0)) == Image.new("RGB", (1, 1), "green").getpixel((0, 0))
    assert update[dialog.dialog].props["made"] == {"path": photos[1], "original": two}
    assert dialog.cards[0].photos not in update
    assert update[dialog.undo.stack][0].before == {dialog.cards[1].photos._id: [one, two]}


def test_a_drawing_is_added(dialog: CutoutDialog) -> None:
    one = photo_path(Image.new("RGB", (16, 16), "red"))
    update = _cut(dialog, [one], number=None, image=_data_url("green"))
    assert len(update[dialog.cards[1].photos]) == 2
    assert dialog.dialog not in update


def test_the_photo_as_it_was_comes_back_and_nothing_else_of_the_server(dialog: CutoutDialog) -> None:
    one, two = (photo_path(Image.new("RGB", (16, 16), colour)) for colour in ("red", "blue"))
    assert _cut(dialog, [one], original=two)[dialog.cards[1].photos] == [two]
    for foreign in ("/etc/hostname", 3, f"{two}/../none.png"):
        with pytest.raises(gr.Error, match="no longer on the server"):
            _cut(dialog, [one], original=foreign)
