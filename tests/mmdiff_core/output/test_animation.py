"""Frames of an image as it forms, and the file that shows them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.output.animation import FRAME, LAST_FRAME, SIDE, encode_animation, step_frames
from mmdiff_core.results import GeneratedImage


def test_frames_show_the_maps_in_the_colours_asked_for(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    frames = step_frames(generated, previews, "text", ["#00FF00", "#0000FF"])
    assert len(frames) == 13
    width, height = frames[5].size
    assert (width, height) == (2 * SIDE, 288)
    assert frames[5].getpixel((5, 5)) == (100, 0, 0)  # the preview alone
    green, blue = (frames[5].getpixel((x, 140)) for x in (width // 2 + 5, width - 5))
    assert green[1] > 100 + max(green[0], green[2])
    assert blue[2] > 100 + max(blue[0], blue[1])


def test_the_last_step_shows_the_finished_image(generated: GeneratedImage, previews: list[Image.Image]) -> None:
    *_, before, last, average = step_frames(generated, previews, "text")
    left = (0, 0, last.width // 2, last.height)
    assert last.crop(left).tobytes() == average.crop(left).tobytes() != before.crop(left).tobytes()


def test_a_gif_mixes_the_colours_it_lacks() -> None:
    """A slow ramp has more colours than a GIF: each stretch of it keeps its mean, where bands would miss it."""
    ramp = np.zeros((64, 512, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.linspace(60, 120, 512), np.linspace(0, 255, 64)[:, None]
    ramp[..., 2] = np.linspace(255, 0, 512)
    with Image.open(io.BytesIO(encode_animation([Image.fromarray(ramp)], "gif"))) as moving:
        shown = np.asarray(moving.convert("RGB"), float)
    stretches = [values.astype(float).reshape(8, 8, 64, 8, 3).mean((1, 3)) for values in (shown, ramp)]
    assert np.abs(stretches[0] - stretches[1]).mean() < 1.5
    changes = np.abs(np.diff(shown[32], axis=0)).sum(-1) > 0
    assert changes.sum() > 100  # colours take turns, where bands would change a dozen times


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_moves_and_rests_on_the_last_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), (60 * number, 0, 0)) for number in range(4)]
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


def test_every_frame_but_the_last_is_short() -> None:
    frames = [Image.new("RGB", (20, 10), (60 * number, 0, 0)) for number in range(3)]
    with Image.open(io.BytesIO(encode_animation(frames))) as moving:
        times = []
        for number in range(moving.n_frames):
            moving.seek(number)
            moving.load()
            times.append(moving.info["duration"])
    assert times == [FRAME, FRAME, LAST_FRAME]
