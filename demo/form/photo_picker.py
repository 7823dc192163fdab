"""The gallery of a card's photos, which takes any file: photos go by their contents, not by their names."""

from __future__ import annotations

import gradio as gr

from demo.web.i18n import text
from demo.web.static_files import static


class _InBrowser(list[str]):
    """A list that is empty to Python's eyes.

    The browser reads in it that pictures can be pasted; the server would refuse all photos for the name of one.
    """

    def __bool__(self) -> bool:
        return False


def photo_picker(number: int) -> gr.Gallery:
    """Make the gallery of a card, counted from 1; the script lets every file through in the browser, too."""
    return gr.Gallery(
        label=text(f"photos_{number}"),
        show_label=False,
        type="filepath",
        file_types=_InBrowser(["image"]),
        sources=["upload", "webcam", "clipboard"],
        interactive=True,
        columns=3,
        height=136,
        object_fit="cover",
        format="png",
        allow_preview=False,
        buttons=[],
        elem_id=f"photos-{number}",
        elem_classes="photos",
    )


def photo_picker_script() -> str:
    """Return the script of all pickers of a page; it goes behind the scripts of a component."""
    return static("form/photo_picker.js")
