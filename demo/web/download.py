"""Files that are made on demand: the browser saves each as soon as it arrives."""

from __future__ import annotations

from typing import TypedDict
from uuid import uuid4

import gradio as gr

from demo.web.cached_files import FileRecord, cached_file
from demo.web.static_files import scripts


class Download(TypedDict):
    """A file, and a word that differs with every order, so that the same file can be ordered twice."""

    file: FileRecord
    order: str


def download(data: bytes, name: str) -> Download:
    """Write a file; given to a component made by :func:`download_target`, the browser saves it."""
    return {"file": cached_file(data, name), "order": uuid4().hex}


def download_target(elem_id: str) -> gr.HTML:
    """Make the invisible component that saves what it is given."""
    return gr.HTML(None, html_template="", js_on_load=scripts("web/download"), elem_id=elem_id, apply_default_css=False)
