"""Photos as they arrive: those that cannot be read are named and put aside, the others stay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio as gr

from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.errors import PhotoError

SHOWN_BY_BROWSERS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif"}


def sift(photos: Sequence[tuple[str, str | None]] | None) -> list[object]:
    """Keep the photos that can be read. Formats that browsers do not show become PNG."""
    kept: list[object] = []
    for path, _ in photos or ():
        try:
            image = load_photo(path, name=Path(path).name)
        except PhotoError as error:
            gr.Warning(str(error), duration=12)
        else:
            kept.append(path if Path(path).suffix.lower() in SHOWN_BY_BROWSERS else image)
    return kept
