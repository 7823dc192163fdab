"""A picture to start from, in place of noise alone: image to image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.form.form import LEAST_IMAGE_STRENGTH, USUAL_IMAGE_STRENGTH, StartPicture
from demo.form.photo_picker import photo_picker
from demo.form.photos import GalleryValue, check_photos, still_cached
from demo.form.sliders import fits_slider, slider
from demo.server.error_messages import user_facing_errors
from demo.server.photo_files import PhotoFiles
from demo.server.sessions import claim
from demo.web.events import WITH_MESSAGES, Update
from demo.web.i18n import text

LACKING = "This picture starts from another one, which did not come with it: add that one here."


class StartPanel:
    """A group of fields, closed until there is a picture.

    Args:
        photo_files: decoded photos, shared with the cards.
    """

    def __init__(self, photo_files: PhotoFiles) -> None:
        self.photo_files = photo_files

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.rejected = gr.State(())
        with gr.Accordion(text("start_picture"), open=False, elem_id="start-picture") as self.group:
            gr.HTML(text("start_help"), apply_default_css=False)
            with gr.Row():
                with gr.Column(min_width=200):
                    self.picture = photo_picker("photos-start", text("start_picture"), ["upload", "clipboard"])
                    gr.HTML("", elem_id="seen-start", elem_classes="seen", apply_default_css=False, min_height=1)
                self.strength = slider(
                    text("image_strength"),
                    USUAL_IMAGE_STRENGTH,
                    LEAST_IMAGE_STRENGTH,
                    1,
                    0.05,
                    "image-strength",
                    info=text("image_strength_info"),
                    min_width=240,
                )

    def listen(self) -> None:
        """Check a picture when it arrives; of several the last one counts."""
        checked = [self.picture, self.rejected]
        self.picture.upload(self._check, self.picture, checked, trigger_mode="always_last", **WITH_MESSAGES)

    @property
    def fields(self) -> tuple[Component, ...]:
        """The components that a person fills in."""
        return (self.picture, self.strength, self.rejected)

    @property
    def targets(self) -> tuple[Any, ...]:
        """The components that :meth:`show` and :meth:`restore` write to."""
        return (*self.fields, self.group)

    def read(self, values: Mapping[Component, Any]) -> StartPicture | None:
        """Read the fields; None where there is no picture."""
        paths = [path for path, _ in values[self.picture] or ()]
        claim(*paths)
        return StartPicture(paths[-1], values[self.strength]) if paths else None

    def show(self, start: StartPicture | None) -> Update:
        """Put a picture into the fields, or none."""
        opened = {self.group: gr.update(open=start is not None)}
        if start is None:
            return {self.picture: None, self.rejected: ()} | opened
        return {self.picture: [start.path], self.strength: start.strength, self.rejected: ()} | opened

    def restore(self, record: Mapping[str, Any]) -> Update:
        """Put ``start``, a list of at most one path, and ``image_strength`` of a record into the fields.

        What is absent leaves its field alone. The paths are a browser's: only uploads count. ``lacks_start``: the
        record is of a picture that starts from one which did not come.
        """
        update: Update = {}
        if isinstance(paths := record.get("start"), list):
            kept, lost = still_cached([path for path in paths if isinstance(path, str)][-1:], self.photo_files)
            lost = (LACKING,) if record.get("lacks_start") is True and not kept else lost
            update = {self.picture: kept or None, self.rejected: lost, self.group: gr.update(open=bool(kept or lost))}
        if fits_slider(self.strength, record.get("image_strength")):
            update[self.strength] = record["image_strength"]
        return update

    def refused(self, record: Mapping[str, Any]) -> list[str]:
        """Return what of a record :meth:`restore` leaves out because no field can hold it."""
        strength = record.get("image_strength")
        return [] if strength is None or fits_slider(self.strength, strength) else [f"image strength {strength}"]

    def _check(self, pictures: GalleryValue) -> tuple[Any, tuple[str, ...]]:
        with user_facing_errors():
            kept, rejected = check_photos(pictures, self.photo_files)
        unchanged = kept == [path for path, _ in pictures or ()] and len(kept) == 1
        return gr.skip() if unchanged else (kept[-1:] or None), rejected
