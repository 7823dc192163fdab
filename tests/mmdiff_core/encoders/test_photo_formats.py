"""Photos go by their contents, and an animation by the frame that shows something."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.encoders.photo_formats import HEIC_BRANDS, choose_frame, open_photo
from mmdiff_core.errors import PhotoError

RED, BLUE = (200, 30, 40), (20, 40, 210)
NAMES = ("cat.jfif", "cat.pjpeg", "cat.mpo", "cat.jpg", "cat.txt", "cat", ".cat", "cat.heic", "cat.mp4")


def _heic(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=95)
    return buffer.getvalue()


def _photo(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Upper half red, lower half blue."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0], size[1] // 2))
    return image


def _near(pixel: object, colour: tuple[int, ...]) -> bool:
    return bool((np.abs(np.array(pixel, dtype=int) - colour) <= 12).all())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TGA", "WEBP", "TIFF", "AVIF", "BMP", "GIF", "HEIF"])
def test_a_name_tells_nothing(form: str, tmp_path: Path) -> None:
    for name in NAMES:
        if form == "HEIF":
            (tmp_path / name).write_bytes(_heic(_photo()))
        else:
            _photo().save(tmp_path / name, form)
        photo = load_photo(tmp_path / name)
        assert photo.size == (64, 48)
        assert _near(photo.getpixel((30, 5)), RED), (name, photo.getpixel((30, 5)))


def test_two_views_in_one_file_are_the_first(tmp_path: Path) -> None:
    _photo().save(tmp_path / "stereo.mpo", save_all=True, append_images=[Image.new("RGB", (64, 48), BLUE)])
    assert _near(load_photo(tmp_path / "stereo.mpo").getpixel((30, 5)), RED)


# ---------------------------------------------------------------- HEIC


@pytest.mark.parametrize("brand", HEIC_BRANDS)
def test_every_brand_of_heic_is_read(brand: bytes, tmp_path: Path) -> None:
    data = _heic(_photo())
    (tmp_path / "IMG_0001.HEIC").write_bytes(data[:8] + brand + data[12:])
    photo = load_photo(tmp_path / "IMG_0001.HEIC")
    assert (photo.size, photo.mode) == ((64, 48), "RGB")
    assert _near(photo.getpixel((30, 5)), RED)
    assert _near(photo.getpixel((30, 43)), BLUE)


def test_a_turned_heic_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.register_heif_opener()
    _photo().save(tmp_path / "turned.heic", exif=exif.tobytes())
    photo = load_photo(tmp_path / "turned.heic")
    assert photo.size == (48, 64)
    assert _near(photo.getpixel((43, 30)), RED)


def test_of_several_pictures_in_a_heic_the_main_one_counts(tmp_path: Path) -> None:
    images = pillow_heif.from_pillow(Image.new("RGB", (64, 48), BLUE))
    images.add_from_pillow(_photo())
    images.save(tmp_path / "burst.heic", primary_index=1)
    assert _near(load_photo(tmp_path / "burst.heic").getpixel((30, 5)), RED)


def test_ten_bits_of_heic_are_eight(tmp_path: Path) -> None:
    values = np.full((48, 64, 3), 64 * 257, dtype=np.uint16)
    image = pillow_heif.from_bytes("RGB;16", (64, 48), values.tobytes())
    image.save(tmp_path / "hdr.heic", quality=95)
    assert np.asarray(load_photo(tmp_path / "hdr.heic")).mean() == pytest.approx(64, abs=2)


def test_a_video_is_no_photo(tmp_path: Path) -> None:
    (tmp_path / "cat.heic").write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(200)))
    with pytest.raises(PhotoError, match="not a picture that can be read"):
        load_photo(tmp_path / "cat.heic")


# ---------------------------------------------------------------- animations


def _animation(frames: list[Image.Image], form: str, path: Path, **options: object) -> Path:
    frames[0].save(path, form, save_all=True, append_images=frames[1:], duration=80, disposal=2, **options)
    return path


def _rgba(image: Image.Image | None) -> Image.Image:
    return Image.new("RGBA", (64, 48)) if image is None else image.convert("RGBA")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_empty_frames_at_the_beginning_are_passed_over(form: str, tmp_path: Path) -> None:
    moving = _animation([_rgba(None), _rgba(None), _rgba(_photo())], form, tmp_path / "moving")
    with open_photo(moving) as image:
        assert image.n_frames > 1
    assert _near(load_photo(moving).getpixel((30, 5)), RED)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_a_first_frame_of_one_colour_is_passed_over_only_for_a_better_one(form: str, tmp_path: Path) -> None:
    white, blue = (Image.new("RGB", (64, 48), colour) for colour in ((255, 255, 255), BLUE))
    fade_in = _animation([white, _photo()], form, tmp_path / "fade in")
    assert _near(load_photo(fade_in).getpixel((30, 5)), RED)
    flat = _animation([blue, white], form, tmp_path / "flat")
    assert _near(load_photo(flat).getpixel((30, 5)), BLUE)


def test_an_apng_shows_what_browsers_show(tmp_path: Path) -> None:
    """Its default image is for programs that know no animation."""
    warning = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    moving = _animation([warning, _photo(), warning], "PNG", tmp_path / "moving.png", default_image=True)
    assert _near(load_photo(moving).getpixel((30, 5)), RED)


def test_an_animation_of_nothing_is_refused(tmp_path: Path) -> None:
    frames = [_rgba(None), _rgba(None)]
    frames[1].putpixel((0, 0), (0, 0, 1, 0))
    with pytest.raises(PhotoError, match="completely transparent"):
        load_photo(_animation(frames, "WEBP", tmp_path / "nothing.webp"))


def test_pages_and_views_are_no_animation(tmp_path: Path) -> None:
    blank = Image.new("RGB", (64, 48), (255, 255, 255))
    blank.save(tmp_path / "scan.tif", save_all=True, append_images=[_photo()])
    with open_photo(tmp_path / "scan.tif") as image:
        image.seek(1)
        choose_frame(image)
        assert image.tell() == 0
