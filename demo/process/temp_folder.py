"""The app's folder of temporary files, people's photos and pictures, which goes however the app ends.

A process locks a file in its folder, and the system releases the lock when the process dies. A new process can thus
tell the folders that killed processes left behind from those in use.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "mm-diff-studio-"
_LOCK = "in-use"
_YOUNG_S = 60.0  # its process may be about to lock it


class TempFolder:
    """Makes a folder for this process, ``files``, and removes those that killed processes left behind."""

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self._folder / _LOCK)
        self._lock.acquire(timeout=0)
        self.files = self._folder / "files"
        self.files.mkdir()

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.files, ignore_errors=True)
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            with FileLock(folder / _LOCK, timeout=0):
                shutil.rmtree(folder / "files", ignore_errors=True)
        except (Timeout, OSError):
            continue  # in use, or another account's
        shutil.rmtree(folder, ignore_errors=True)
