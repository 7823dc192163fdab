"""The app's folder of temporary files: people's photos and pictures, gone with the app, however it ends.

A process holds a lock beside its files, which the system lets go when the process dies. So one that starts can tell
the folders of killed processes, which could not clear up, from those of processes that are still at work.
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
    """A folder of this process, ``files``, until :meth:`remove`; those that killed processes left behind go now."""

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = FileLock(self._folder / _LOCK)
        self._lock.acquire(timeout=0)
        self.files = self._folder / "files"
        self.files.mkdir()

    def remove(self) -> None:
        """The folder goes, with all that is in it."""
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
