"""Frames of an image as it forms, and the file that shows them."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from mmdiff_core.output.animation import FRAME, LAST_FRAME, SIDE, encode_animation, step_frames
from mmdiff_core.results import GeneratedImage


def test_frames_show_the_maps_in_the_colours_asked_for(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    frames = step_frames(generated, previews, "text", ["#00FF00", "#0000FF"], opacity=1.0)
    assert len(frames) == 13
    width, height = frames[5].size
    assert (width, height) == (2 * SIDE, 288)
    assert frames[5].getpixel((5, 5)) == (100, 0, 0)  # the preview alone
    assert frames[5].getpixel((width // 2 + 5, 140)) == (0, 255, 0)
    assert frames[5].getpixel((width - 5, 140)) == (0, 0, 255)


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_moves_and_rests_on_the_last_frame(
    generated: GeneratedImage, previews: list[Image.Image], kind: str
) -> None:
    frames = step_frames(generated, previews[:3], "text")
    with Image.open(io.BytesIO(encode_animation(frames, kind))) as moving:
        assert (moving.format, moving.n_frames) == (kind.upper(), 4)
        moving.seek(3)
        moving.load()
        assert moving.info["duration"] == 1600


def test_a_step_without_maps_shows_the_preview_twice(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    first = step_frames(generated, previews[:1], "image")[0]  # no image map at the first step
    middle = first.width // 2
    left, right = first.crop((0, 0, middle, first.height)), first.crop((middle, 0, first.width, first.height))
    assert left.tobytes() == right.tobytes()


def test_large_images_keep_their_size() -> None:
    image = GeneratedImage(Image.new("RGB", (2 * SIDE, SIDE)), 0, None, (), {})
    assert [frame.size for frame in step_frames(image, [])] == [(4 * SIDE, SIDE)]


def test_every_frame_but_the_last_is_short(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    frames = step_frames(generated, previews[:2])
    with Image.open(io.BytesIO(encode_animation(frames))) as moving:
        times = []
        for number in range(moving.n_frames):
            moving.seek(number)
            moving.load()
            times.append(moving.info["duration"])
    assert times == [FRAME, FRAME, LAST_FRAME]
