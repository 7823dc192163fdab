"""The models that find faces, which the optional extra ``insightface`` downloads from its makers, not from the hub."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from zipfile import BadZipFile

from huggingface_hub import constants

from mmdiff_core.errors import ModelError
from mmdiff_core.weights.hub import first_line, format_gigabytes

FACES = "insightface/buffalo_l"
FACES_GIGABYTES = 0.29
FACES_SIZE = f"about {format_gigabytes(FACES_GIGABYTES)}; its makers allow non-commercial research"
INSTALL = "pip install -r requirements-face.txt"


def face_folder() -> Path:
    """Return where ``insightface`` stores the models that the official release uses."""
    return Path.home() / ".insightface" / "models" / FACES.split("/")[1]


def download_faces() -> Path:
    """Have ``insightface`` fetch its models, with its own progress bar.

    Raises:
        ModelError: the extra is not installed, or the network is missing or not allowed.
    """
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f'"{FACES}" is not downloaded, because HF_HUB_OFFLINE is set: unset it, or copy the folder.')
    try:
        storage = import_module("insightface.utils.storage")
    except ImportError as error:
        raise ModelError(f'To find faces, an extra must be installed: run "{INSTALL}" first.') from error
    try:
        return Path(storage.download("models", face_folder().name, force=True))
    except (OSError, RuntimeError, BadZipFile) as error:  # its errors of the network are OSErrors
        raise ModelError(f'"{FACES}" cannot be downloaded: check the network. ({first_line(error)})') from error
