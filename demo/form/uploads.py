"""Photos as programs send them: uploaded files, and images inside the call, but never a path of the server."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gradio.utils import get_upload_folder, is_in_or_equal
from gradio_client.utils import is_file_obj_with_meta

from demo.web.cached_files import cached_at
from mmdiff_core.errors import PhotoError

HOW = 'upload it, with handle_file(path) in Python, or give a "data:image/png;base64,..." URL'
FILE_PATH = "/gradio_api/file="  # in the URL of a file of this server
MAX_BYTES = 40 * 2**20


def uploaded(photo: Any, what: str) -> str:
    """Return the path of an image that a program sent.

    Args:
        photo: a file that Gradio has checked, a data URL, or the URL of a file of this server, as ``/toy`` returns it.
            MCP clients can send only URLs. No other URL is opened, so nothing is fetched.
        what: it is, at the start of a sentence.

    Raises:
        PhotoError: it is anything else.
    """
    if is_file_obj_with_meta(photo):
        return photo["path"]
    if isinstance(photo, str) and photo.startswith("data:"):
        return from_data_url(photo, what)
    if isinstance(photo, str) and FILE_PATH in photo:
        return _from_here(photo, what)
    raise PhotoError(f"{what} is not an uploaded file: {HOW}.")


def from_data_url(url: object, what: str) -> str:
    """Write an image inside a call into Gradio's cache and return its path.

    Raises:
        PhotoError: it is not a data URL in base64, or too large.
    """
    head, _, text = str(url).partition(",")
    try:
        data = base64.b64decode(text, validate=True) if head.startswith("data:") and head.endswith(";base64") else b""
    except (binascii.Error, ValueError):
        data = b""
    if not 0 < len(data) <= MAX_BYTES:
        raise PhotoError(f"{what} cannot be read from its data URL: {HOW}.")
    return cached_at(data, "photo.png")  # the decoder goes by content, not by name


def _from_here(url: str, what: str) -> str:
    path = unquote(urlsplit(url).path.partition(FILE_PATH)[2])
    if not path or not is_in_or_equal(path, get_upload_folder()) or not Path(path).is_file():
        raise PhotoError(f"{what} is no longer on the server: {HOW}.")
    return path
