"""A bounded cache of encoded photos, which its owner passes along with a request."""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from mmdiff_core.encoders.photo import prepare_photo
from mmdiff_core.types import Photo

if TYPE_CHECKING:  # a page has a cache before any model is loaded
    from mmdiff_core.encoders.image import ImageEncoder

T = TypeVar("T")
MAX_PHOTOS = 32  # of a large CLIP tower a photo takes about 1 MB


@dataclass(frozen=True)
class PhotoFeatures:
    """What the image encoder saw in one photo."""

    cls: Tensor  # (Dv,)
    patches: Tensor  # (M, Dh)


class PhotoCache:
    """The last photos that one image encoder saw, by their content. It belongs to a session, never to a model.

    A photo is always encoded by itself, so that what a generation gets is the same, bit for bit, whether the photo was
    seen before or not. Another encoder starts it anew.

    Args:
        max_photos: how many photos to keep; the least recently used leave first.
    """

    def __init__(self, max_photos: int = MAX_PHOTOS) -> None:
        self.max_photos = max_photos
        self._seen: OrderedDict[bytes, PhotoFeatures] = OrderedDict()
        self._encoder: weakref.ref[ImageEncoder] | None = None

    def encode(self, encoder: ImageEncoder, photo: Photo) -> PhotoFeatures:
        """Return ``encoder``'s features of a checked photo, from the cache if they are there."""
        if self._encoder is None or self._encoder() is not encoder:
            self._seen.clear()
            self._encoder = weakref.ref(encoder)
        key = content_key(photo)
        found = self._seen.pop(key, None) or encode_photo(encoder, photo)
        self._seen[key] = found
        while len(self._seen) > self.max_photos:
            self._seen.popitem(last=False)
        return found

    def recall(self, request: Hashable, part: str, encode: Callable[[], T]) -> T:
        """Return what ``encode`` makes of a part of a request, which only a :class:`RequestCache` keeps."""
        return encode()

    def __len__(self) -> int:
        return len(self._seen)


class RequestCache(PhotoCache):
    """A photo cache that keeps all that the last request was encoded to, too.

    For requests in quick succession that differ in little else, on networks that nobody changes meanwhile.
    """

    def __init__(self, max_photos: int = MAX_PHOTOS) -> None:
        super().__init__(max_photos)
        self._request: Hashable = None
        self._parts: dict[str, Any] = {}

    def recall(self, request: Hashable, part: str, encode: Callable[[], T]) -> T:
        """Return a part of a request, encoded anew only where the last request was another.

        Args:
            request: all that decides what is encoded.
            part: the name of what ``encode`` makes.
            encode: encodes it.
        """
        if request != self._request:
            self._request, self._parts = request, {}
        if part not in self._parts:
            self._parts[part] = encode()
        found: T = self._parts[part]
        return found


def encode_photo(encoder: ImageEncoder, photo: Photo) -> PhotoFeatures:
    """Encode a photo in one forward of the image encoder."""
    cls, patches = encoder.encode(prepare_photo(photo, encoder.size, encoder.fit)[None])
    return PhotoFeatures(cls[0], patches[0])


def content_key(photo: Photo) -> bytes:
    """Return a key that is the same for the same pixels, whatever the file."""
    if isinstance(photo, Tensor):
        kind, data = repr(tuple(photo.shape)), photo.detach().cpu().float().numpy().tobytes()
    else:
        kind, data = repr((photo.mode, photo.size)), photo.tobytes()
    digest = hashlib.blake2b(kind.encode(), digest_size=32)
    digest.update(data)
    return digest.digest()
