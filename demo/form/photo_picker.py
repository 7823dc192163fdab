"""Galleries for photos, which take any file: photos go by their contents, not by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import gradio as gr
from gradio.i18n import I18nData

from demo.web.static_files import static

Source = Literal["upload", "webcam", "clipboard"]
SOURCES: tuple[Source, ...] = ("upload", "webcam", "clipboard")


class _InBrowser(list[str]):
    """A list that is empty to Python's eyes.

    The browser reads in it that pictures can be pasted; the server would refuse all photos for the name of one.
    """

    def __bool__(self) -> bool:
        return False


def photo_picker(elem_id: str, label: I18nData, sources: Sequence[Source] = SOURCES) -> gr.Gallery:
    """Make a gallery for photos; the script lets every file through in the browser, too."""
    return gr.Gallery(
        label=label,
        show_label=False,
        type="filepath",
        file_types=_InBrowser(["image"]),
        sources=list(sources),
        interactive=True,
        columns=3,
        height=136,
        object_fit="cover",
        format="png",
        allow_preview=False,
        buttons=[],
        elem_id=elem_id,
        elem_classes="photos",
    )


def photo_picker_script() -> str:
    """Return the script of all pickers of a page; it goes behind the scripts of a component."""
    return static("form/photo_picker.js")
