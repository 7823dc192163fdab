"""Photos seen before are not encoded again, and nobody can tell from the result."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.photo_cache import PhotoCache
from mmdiff_core.generation.subject_embedding import encode_photos
from mmdiff_core.types import Subject
from tests.helpers import tiny


@pytest.fixture(autouse=True)
def _without_gradient() -> Iterator[None]:
    with torch.no_grad():
        yield


class Counting(ImageEncoder):
    """Counts the photos that it looks at."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(tiny.image_encoder().eval())
        self.looked = 0

    def encode(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.looked += len(pixels)
        return super().encode(pixels)


def test_the_same_bit_for_bit_and_encoded_once() -> None:
    encoder, cache, subjects = Counting(), PhotoCache(), tiny.cat_and_robot()
    fresh = encode_photos(encoder, subjects)
    assert encoder.looked == 3
    for _ in range(2):
        again = encode_photos(encoder, subjects, cache)
        assert torch.equal(again.cls, fresh.cls)
        assert torch.equal(again.patches, fresh.patches)
        assert torch.equal(again.present, fresh.present)
    assert encoder.looked == 6
    alone = encode_photos(encoder, [Subject("dog", subjects[1].photos)], cache)  # another request, the same photo
    assert encoder.looked == 6
    assert torch.equal(alone.cls[0, 0, 0], fresh.cls[0, 1, 0])
    assert fresh.present.tolist() == [[[True, True], [True, False]]]
    assert not fresh.cls[0, 1, 1].any()


def test_the_content_counts_not_the_object() -> None:
    encoder, cache = Counting(), PhotoCache()
    cache.encode(encoder, tiny.photo(1))
    cache.encode(encoder, tiny.photo(1).copy())
    assert encoder.looked == 1
    cache.encode(encoder, tiny.photo(1, (30, 40)))
    changed = tiny.photo(1)
    changed.putpixel((3, 4), (1, 2, 3))
    cache.encode(encoder, changed)
    assert encoder.looked == 3


def test_pixels_are_told_apart_by_their_values() -> None:
    encoder, cache = Counting(), PhotoCache()
    pixels = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    first = cache.encode(encoder, pixels)
    assert cache.encode(encoder, pixels.clone()) is first
    assert cache.encode(encoder, pixels + 1e-6) is not first


def test_those_not_asked_for_the_longest_leave() -> None:
    encoder, cache = Counting(), PhotoCache(max_photos=2)
    for number in (1, 2, 1, 3, 1):
        cache.encode(encoder, tiny.photo(number))
    assert (len(cache), encoder.looked) == (2, 3)
    cache.encode(encoder, tiny.photo(2))
    assert encoder.looked == 4


def test_another_encoder_starts_anew() -> None:
    first, other, cache = Counting(), Counting(), PhotoCache()
    seen = cache.encode(first, tiny.photo(1))
    with torch.no_grad():
        other.model.visual_projection.weight.mul_(2)
    assert torch.allclose(cache.encode(other, tiny.photo(1)).cls, 2 * seen.cls, atol=1e-5)
    assert (first.looked, other.looked, len(cache)) == (1, 1, 1)


def test_every_session_gets_a_copy_of_its_own() -> None:
    """A page hands out deep copies of the value that it starts with."""
    encoder, one = Counting(), PhotoCache()
    other = copy.deepcopy(one)
    one.encode(encoder, tiny.photo(1))
    assert (len(one), len(other)) == (1, 0)
