"""Arrays out of an npz of anybody's: nothing is unpickled, and nothing takes more memory than the file has."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from os import PathLike

import numpy as np

from mmdiff_core.errors import SettingsError

MAX_BYTES = 512 * 2**20  # of all arrays together
NOT_MAPS = "These are no maps that this program wrote."


def read_npz(file: str | PathLike[str] | bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an npz by their names, in the order of the file.

    Args:
        file: a path, or what is in the file.

    Raises:
        SettingsError: it is none, it is damaged, or its arrays are too large.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file) as packed:
            entries = packed.infolist()
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise SettingsError(f"The maps take more than {MAX_BYTES // 2**20} MB: they are not read.")
            return {entry.filename.removesuffix(".npy"): _array(packed.read(entry)) for entry in entries}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise error if isinstance(error, SettingsError) else SettingsError(NOT_MAPS) from error


def _array(data: bytes) -> np.ndarray:
    """Return one array, once its header claims no more than there is."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.hasobject or prod(shape) * dtype.itemsize > len(data):
        raise ValueError("an array that is not all there")
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def check_maps(values: np.ndarray, steps: int, rows: int | None) -> None:
    """Check that an array is maps (steps, rows, h, w) or (steps, rows, H, h, w) of numbers, each step's finite or NaN.

    Raises:
        ValueError: it is not; ``rows`` may be any number where it is None.
    """
    fits = values.ndim in (4, 5) and values.shape[0] == steps and rows in (None, values.shape[1]) and values.size > 0
    if not fits or values.dtype.kind != "f" or np.isinf(values).any():
        raise ValueError("no maps")


@contextmanager
def named_shape_errors() -> Iterator[None]:
    """Turn what goes wrong with arrays of other layouts into one sentence."""
    try:
        yield
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise SettingsError(NOT_MAPS) from error
