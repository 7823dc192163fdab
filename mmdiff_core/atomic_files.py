"""Write files to a temp file and rename it: readers find the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError

from mmdiff_core.errors import WritingError


class Saveable(Protocol):
    """A network of diffusers or transformers."""

    def save_pretrained(self, save_directory: Path) -> object: ...


# safetensors and torch tell of a disk that takes no more in the text of their errors alone.
_WRITERS_SIGNS = (os.strerror(errno.ENOSPC), os.strerror(errno.EFBIG), "inline_container", "PytorchStreamWriter")
_REASONS = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "this account may not use more of the disk: make room",
    errno.EFBIG: "the disk takes no file of that size: choose another",
    errno.EROFS: "the disk is read-only: choose another folder",
    errno.EACCES: "this account may not write there: choose another folder",
    errno.EPERM: "this account may not write there: choose another folder",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another folder",
    errno.EEXIST: "a file stands where a folder is needed: choose another folder",
}


@contextmanager
def atomic_file(path: str | PathLike[str], name: str | None = None) -> Iterator[Path]:
    """Yield a temp file to write to, which replaces ``path`` when the block ends without an error.

    It is a file of the same name in a hidden folder beside ``path``, so that programs which go by the suffix write the
    right format, and readers that look for suffixes do not find it. The folder of ``path`` is made if need be.

    Args:
        path: the file.
        name: what messages call it; the path by default.

    Raises:
        WritingError: the disk is full or cannot be written. What was at ``path`` before is as it was.
    """
    path = Path(path)
    with named_disk_errors(name or path), _temp_folder(path) as folder:
        temp_file = folder / path.name
        yield temp_file
        _sync(temp_file)
        temp_file.replace(path)


@contextmanager
def atomic_folder(path: str | PathLike[str]) -> Iterator[Path]:
    """Yield a temp folder, such as for a network, which replaces ``path`` when the block ends without an error.

    Errors as :func:`atomic_file`.
    """
    path = Path(path)
    with named_disk_errors(path), _temp_folder(path) as folder:
        aside = folder / path.name
        aside.mkdir()
        yield aside
        if not path.exists():
            aside.replace(path)
            return
        old = path.replace(folder / "old")  # a folder that is not empty cannot be replaced in one go
        try:
            aside.replace(path)
        except OSError:
            old.replace(path)
            raise


def save_network(part: Saveable, folder: Path) -> None:
    """Save a network in its folder; files are replaced one by one, so that a kill leaves no folder without weights.

    Errors as :func:`atomic_file`.
    """
    with named_disk_errors(folder), _temp_folder(folder) as beside:
        part.save_pretrained(beside)
        folder.mkdir(exist_ok=True)
        written = sorted(beside.iterdir())
        for file in written:
            _sync(file)
            file.replace(folder / file.name)
        for stale in {path.name for path in folder.iterdir()} - {file.name for file in written}:
            (folder / stale).unlink()  # shards, beside which the whole file would not be read


def remove_leftovers(path: str | PathLike[str]) -> None:
    """Remove the temp files of killed attempts to write ``path``; no other process may be writing it."""
    path = Path(path)
    for folder in path.parent.glob(f".{path.name}.*.temp"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _temp_folder(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".temp", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_text(path: str | PathLike[str], text: str) -> None:
    """Write a text file in UTF-8. Errors as :func:`atomic_file`."""
    with atomic_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def named_disk_errors(path: str | PathLike[str]) -> Iterator[None]:
    """Turn errors of writing into sentences that say what to do.

    Raises:
        WritingError: the disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise WritingError(_not_written(path, _REASONS.get(error.errno or 0, _reported(error)))) from error
    except (SafetensorError, RuntimeError) as error:
        if not any(sign in str(error) for sign in _WRITERS_SIGNS):
            raise
        raise WritingError(_not_written(path, _REASONS[errno.ENOSPC])) from error


def _not_written(path: str | PathLike[str], reason: str) -> str:
    return f'"{path}" was not written, and what was there before is as it was: {reason}, then do it again.'


def _reported(error: OSError) -> str:
    return f"the disk reports “{error.strerror or type(error).__name__}”: mend that"


def _sync(path: Path) -> None:
    """Flush a file to disk: else a rename may reach the disk first, and a power cut leaves an empty file."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
