"""The dialog in which a subject is cut out of a photo, or drawn; the image is made in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.form.photos import still_cached
from demo.form.uploads import from_data_url
from demo.server.error_messages import user_facing_errors
from demo.studio.compose_panel import ComposePanel
from demo.studio.subject_card import SubjectCard
from demo.web.events import WITH_MESSAGES, Update
from demo.web.i18n import text
from demo.web.static_files import scripts, static
from mmdiff_core.errors import PhotoError

TEMPLATES = {"cutout": static("studio/cutout_dialog.html")}  # of texts that are put together per language


class CutPhoto(TypedDict):
    """The path of what was cut out of a photo, and that of the photo."""

    path: str
    original: str


class CutoutDialog:
    """One dialog for all cards, opened by a card's "Draw" button and by the photos in "What the model sees"."""

    def __init__(self, compose: ComposePanel) -> None:
        self.undo = compose.undo
        self.cards = compose.cards

    def render(self) -> None:
        """Make the component inside the current layout."""
        self.dialog = gr.HTML(
            text("cutout"),
            made=None,
            js_on_load=scripts("studio/cutout_canvas", "studio/cutout_dialog"),
            elem_id="cutout",
            apply_default_css=False,
            min_height=1,
        )

    def listen(self) -> None:
        """Replace a photo with what was cut out of it; add a drawing to the photos."""
        photos = [card.photos for card in self.cards]
        seen = [card.seen for card in self.cards]
        outputs = [*photos, *seen, self.dialog, *self.undo.parts]
        inputs: set[Block] = {self.undo.stack, *photos}
        self.dialog.cut(self._cut, inputs, outputs, **WITH_MESSAGES)

    def _cut(self, event: gr.EventData, values: Mapping[Component, Any]) -> Update:
        card = self.cards[int(event.slot)]
        photos = [path for path, _ in values[card.photos] or ()]
        update: Update = {}
        with user_facing_errors():
            image = self._image(event, card)
        if event.number is None:
            photos.append(image)
        elif 0 <= int(event.number) < len(photos):
            if event.original is None:
                made: CutPhoto = {"path": image, "original": photos[int(event.number)]}
                update = {self.dialog: gr.HTML(made=made)}
            photos[int(event.number)] = image
        return self.undo.keep(values, card.show_photos(photos), "undo_cut") | update

    def _image(self, event: gr.EventData, card: SubjectCard) -> str:
        """The file of what was cut out or drawn, or of the photo as it was."""
        if event.original is None:
            return from_data_url(event.image, f'A photo of "subject {card.slot + 1}"')
        kept, _ = still_cached([str(event.original)], card.photo_files)
        if not kept:
            raise PhotoError("The photo as it was is no longer on the server: drop it again.")
        return kept[0]
