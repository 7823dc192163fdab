"""Every odd photo is either used correctly or named in one clear sentence."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from mmdiff_core.encoders.photo import (
    MAX_PIXELS,
    MAX_SIDE,
    NEUTRAL,
    as_image,
    load_photo,
    pad_to_square,
    prepare_photo,
    read_photo,
)
from mmdiff_core.errors import PhotoError
from tests.helpers import tiny
from tests.helpers.icc import wide_profile

RED, BLUE = (200, 30, 40), (20, 40, 210)


@pytest.fixture
def half_red() -> Image.Image:
    """60 x 40, the upper half red, the lower blue."""
    image = Image.new("RGB", (60, 40), BLUE)
    image.paste(RED, (0, 0, 60, 20))
    return image


def _near(pixel: object, colour: tuple[int, ...], within: int = 12) -> bool:
    return bool((np.abs(np.array(pixel, dtype=int) - colour) <= within).all())


# ---------------------------------------------------------------- used correctly


def test_turned_by_exif(half_red: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown 90 degrees clockwise
    half_red.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    photo = load_photo(tmp_path / "turned.jpg")
    assert photo.size == (40, 60)
    assert _near(photo.getpixel((35, 30)), RED)
    assert _near(photo.getpixel((5, 30)), BLUE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_neutral_ground(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 20), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (0, 0, 10, 20))
    image.convert(mode).save(tmp_path / "cut.png")
    photo = load_photo(tmp_path / "cut.png")
    assert photo.mode == "RGB"
    assert photo.getpixel((15, 10)) == NEUTRAL
    assert photo.getpixel((5, 10)) == (255, 255, 255)


def test_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 255, 0, *RED])
    image.paste(1, (0, 0, 10, 20))
    image.save(tmp_path / "palette.png", transparency=0)
    photo = load_photo(tmp_path / "palette.png")
    assert photo.getpixel((15, 10)) == NEUTRAL
    assert photo.getpixel((5, 10)) == RED


def test_cmyk(half_red: Image.Image, tmp_path: Path) -> None:
    half_red.convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    photo = load_photo(tmp_path / "print.jpg")
    assert photo.mode == "RGB"
    assert _near(photo.getpixel((30, 5)), RED, 20)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_gray_is_scaled_not_clipped(suffix: str, tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(16, axis=0)
    Image.fromarray(ramp).save(tmp_path / f"deep.{suffix}")
    photo = np.asarray(load_photo(tmp_path / f"deep.{suffix}"))
    assert photo.shape == (16, 64, 3)
    assert np.abs(photo[0, :, 0] - np.linspace(0, 255, 64)).max() <= 1


def test_float_picture_with_a_range_of_its_own(tmp_path: Path) -> None:
    values = np.linspace(-4, 12, 64, dtype=np.float32)[None].repeat(16, axis=0)
    Image.fromarray(values).save(tmp_path / "science.tif")
    photo = np.asarray(load_photo(tmp_path / "science.tif"))
    assert photo.min() == 0
    assert photo.max() == 255


def test_a_large_deep_picture_takes_little_memory(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 4000).astype(np.uint16)[None].repeat(4000, axis=0)
    Image.fromarray(ramp).save(tmp_path / "deep.png", compress_level=1)
    tracemalloc.start()
    photo = np.asarray(load_photo(tmp_path / "deep.png"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40 * 2**20  # of NumPy; the decoded picture itself, 32 MB, is Pillow's
    assert np.abs(photo[0, :, 0] - np.linspace(0, 255, MAX_SIDE)).max() <= 1


# ---------------------------------------------------------------- colour profiles


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize(("primaries", "shown"), [("display p3", (224, 72, 45)), ("adobe rgb", (236, 83, 56))])
def test_a_profile_s_colours_are_brought_to_srgb(
    primaries: str, shown: tuple[int, ...], mode: str, tmp_path: Path
) -> None:
    image = Image.new(mode, (20, 20), (206, 84, 60))
    image.save(tmp_path / "wide.png", icc_profile=wide_profile(primaries))
    pixel = load_photo(tmp_path / "wide.png").getpixel((10, 10))
    assert _near(pixel, shown, 3), pixel


@pytest.mark.parametrize("profile", [b"\xff" * 300, wide_profile("display p3")[:100], b"x"])
def test_a_broken_profile_is_left_alone(profile: bytes, half_red: Image.Image, tmp_path: Path) -> None:
    half_red.save(tmp_path / "odd.png", icc_profile=profile)
    assert load_photo(tmp_path / "odd.png").getpixel((30, 5)) == RED


def test_a_profile_of_other_bands_is_left_alone(tmp_path: Path) -> None:
    Image.new("L", (20, 20), 90).save(tmp_path / "gray.png", icc_profile=wide_profile("display p3"))
    assert load_photo(tmp_path / "gray.png").getpixel((10, 10)) == (90, 90, 90)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_gray_and_bilevel(mode: str, tmp_path: Path) -> None:
    Image.linear_gradient("L").convert(mode).save(tmp_path / "gray.png")
    photo = np.asarray(load_photo(tmp_path / "gray.png"))
    assert (photo[..., 0] == photo[..., 2]).all()
    assert photo.min() == 0
    assert photo.max() == 255


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE, BLUE)]
    frames[0].save(tmp_path / f"moving.{suffix}", save_all=True, append_images=frames[1:], duration=50)
    with Image.open(tmp_path / f"moving.{suffix}") as written:
        assert written.n_frames > 1
    assert _near(load_photo(tmp_path / f"moving.{suffix}").getpixel((10, 10)), RED)


def test_an_animation_that_somebody_has_wound_on(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "moving.gif") as moving:
        moving.seek(1)
        assert _near(load_photo(moving).getpixel((10, 10)), RED)


def test_what_phones_call_64_or_100_megapixels_is_taken(tmp_path: Path) -> None:
    """And 108; all are decoded at a fraction of their size."""
    Image.new("RGB", (9248, 6944), RED).save(tmp_path / "64.jpg")
    Image.new("L", (12_000, 9_000), 90).save(tmp_path / "108.jpg")
    assert load_photo(tmp_path / "64.jpg").size == (1024, 769)
    assert load_photo(tmp_path / "108.jpg").size == (1024, 768)
    assert load_photo(tmp_path / "64.jpg").getpixel((500, 300)) == pytest.approx(RED, abs=3)


def test_large_photo_is_shrunk_in_proportion(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1500), RED).save(tmp_path / "large.jpg")
    assert load_photo(tmp_path / "large.jpg").size == (MAX_SIDE, MAX_SIDE // 2)


def test_a_photo_that_was_taken_can_be_taken_again(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 3000 // 128 + 1), RED).save(tmp_path / "narrow.png")
    photo = load_photo(tmp_path / "narrow.png")
    assert load_photo(photo).size == photo.size == (MAX_SIDE, 8)


def test_an_open_image_stays_as_it_was(half_red: Image.Image) -> None:
    large = half_red.resize((2400, 1600)).convert("RGBA")
    load_photo(large)
    assert (large.size, large.mode) == ((2400, 1600), "RGBA")


def test_right_suffix_does_not_matter(half_red: Image.Image, tmp_path: Path) -> None:
    half_red.save(tmp_path / "photo.dat", format="PNG")
    assert load_photo(tmp_path / "photo.dat").size == (60, 40)


# ---------------------------------------------------------------- named in the message


def _bomb(path: Path) -> None:
    """A few hundred bytes that claim 30000 x 30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def _truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:4000])


def _truncated_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def _damaged(path: Path) -> None:
    Image.new("RGB", (64, 64), RED).save(path, format="PNG")
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(data)


def _huge(path: Path) -> None:
    Image.new("1", (9000, MAX_PIXELS // 9000 + 1)).save(path, format="PNG")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "text": (lambda path: path.write_text("not a photo"), "not a picture"),
    "noise": (lambda path: path.write_bytes(bytes(range(256)) * 20), "not a picture"),
    "header only": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "not a picture|damaged"),
    "truncated png": (_truncated, "damaged"),
    "truncated jpeg": (_truncated_jpeg, "damaged"),
    "damaged": (_damaged, "damaged"),
    "bomb": (_bomb, "more than 110 million pixels"),
    "huge": (_huge, "more than 110 million pixels"),
    "transparent": (lambda path: Image.new("RGBA", (20, 20)).save(path), "completely transparent"),
    "tiny": (lambda path: Image.new("RGB", (3, 200)).save(path), "only 3 x 200 pixels"),
    "strip": (lambda path: Image.new("L", (20_000, 10)).save(path), "strip of 20000 x 10 pixels"),
    "folder": (lambda path: path.mkdir(), "not there"),
    "missing": (lambda path: None, "not there"),
    "postscript": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not a picture"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", BAD)
def test_bad_photo_is_named_in_one_sentence(kind: str, tmp_path: Path) -> None:
    make, reason = BAD[kind]
    make(tmp_path / "my cat.png")
    with pytest.raises(PhotoError, match=reason) as caught:
        load_photo(tmp_path / "my cat.png")
    message = str(caught.value)
    assert '"my cat.png"' in message
    assert message.endswith(".")
    assert "\n" not in message


def test_name_given_by_the_caller_is_used(tmp_path: Path) -> None:
    (tmp_path / "upload_123.png").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"photo 2 of cat"):
        load_photo(tmp_path / "upload_123.png", "photo 2 of cat")


# ---------------------------------------------------------------- as the encoder takes it


def test_whole_photo_on_a_square(half_red: Image.Image) -> None:
    padded = pad_to_square(half_red, 60)
    assert padded.size == (60, 60)
    assert padded.getpixel((30, 5)) == (0, 0, 0)
    assert padded.getpixel((2, 15)) == RED
    assert padded.getpixel((57, 45)) == BLUE


def test_prepared_values(half_red: Image.Image) -> None:
    pixels = prepare_photo(half_red, 32)
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == torch.float32
    assert torch.allclose(pixels[:, 10, 16] * 255, torch.tensor(RED).float(), atol=1)


def test_a_damaged_heic_photo_is_named_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"\0\0\0\x28ftypheic" + bytes(64))
    with pytest.raises(PhotoError, match=r'"IMG_0001\.HEIC" is a HEIC photo.*export it as JPEG'):
        load_photo(tmp_path / "IMG_0001.HEIC")


# ---------------------------------------------------------------- pixels


def test_pixels_stay_as_they_are() -> None:
    pixels = torch.randn(3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert read_photo(pixels, "1") is pixels
    assert torch.equal(prepare_photo(pixels, 32), pixels.float())
    assert prepare_photo(pixels, 16).shape == (3, 16, 16)


def test_pixels_as_a_picture() -> None:
    pixels = torch.tensor([-1.0, 0.5, 2.0]).view(3, 1, 1).expand(3, 8, 9)
    picture = as_image(pixels)
    assert picture.size == (9, 8)
    assert picture.getpixel((0, 0)) == (0, 128, 255)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (torch.zeros(4, 8, 8), "3 x height x width, but is 4 x 8 x 8"),
        (torch.zeros(1, 3, 8, 8), "but is 1 x 3 x 8 x 8"),
        (torch.zeros(3, 0, 8), "but is 3 x 0 x 8"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "must be floats"),
        (torch.full((3, 8, 8), float("nan")), "finite"),
    ],
)
def test_pixels_that_cannot_be_used(pixels: torch.Tensor, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        read_photo(pixels, "1")


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (33, 33), (500, 37)])
def test_the_middle_is_cut_out_as_clip_does_it(size: tuple[int, int]) -> None:
    photo = tiny.photo(1, size)
    processor = CLIPImageProcessorPil(size=32, crop_size=32, do_normalize=False)
    expected = torch.tensor(processor(photo).pixel_values[0])
    torch.testing.assert_close(prepare_photo(photo, 32, "crop"), expected.float(), atol=1e-6, rtol=0)
