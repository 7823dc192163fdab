"""Uploaded photos; each is decoded only once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from os import PathLike
from pathlib import Path

from PIL import Image

from mmdiff_core.encoders.photo import load_photo

MAX_BYTES = 128 * 2**20  # one decoded photo takes 3 MB at most


class PhotoFiles:
    """Caches decoded photos by path and modification time, and drops the least recently used first.

    Args:
        max_bytes: the most that the decoded photos may take.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._photos: OrderedDict[Path, tuple[int, Image.Image]] = OrderedDict()
        self._lock = threading.Lock()

    def load(self, photo: str | PathLike[str] | Image.Image, name: str | None = None) -> Image.Image:
        """Load a photo as ``load_photo`` does; the caller may change the copy that is returned.

        Args:
            photo: a file, or an open image, which is not cached.
            name: what messages call the photo.

        Raises:
            PhotoError: as ``load_photo``.
        """
        if isinstance(photo, Image.Image):
            return load_photo(photo, name)
        path = Path(photo)
        modified = path.stat().st_mtime_ns if path.is_file() else 0
        with self._lock:
            known = self._photos.pop(path, None)
            if known is not None and known[0] == modified:
                self._photos[path] = known
                return known[1].copy()
        image = load_photo(path, name)
        with self._lock:
            self._photos[path] = (modified, image)
            while len(self._photos) > 1 and self._bytes() > self.max_bytes:
                self._photos.popitem(last=False)
        return image.copy()

    def forget_missing(self) -> None:
        """Drop the photos whose files were deleted with their session."""
        with self._lock:
            for path in [path for path in self._photos if not path.is_file()]:
                del self._photos[path]

    def __len__(self) -> int:
        return len(self._photos)

    def _bytes(self) -> int:
        return sum(3 * image.width * image.height for _, image in self._photos.values())
