"""Tables of tensors in pickled files, read without unpickling anything but tensors."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from mmdiff_core.errors import CheckpointError


def read_pickled_table(path: Path, what: str) -> dict:
    """Return the table in a file, by torch's restricted unpickler.

    Args:
        path: of the file.
        what: what messages call it, at the start of a sentence.

    Raises:
        FileNotFoundError: it is not there.
        CheckpointError: it is damaged, or contains anything but plain tables of tensors.
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f'{what} "{path}" is not a plain table of tensors, or is incomplete: download it again.'
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{what} {path} should contain a table of tensors, not {type(values).__name__}")
    return values
