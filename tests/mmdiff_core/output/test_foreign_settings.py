"""Settings in images of other programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mmdiff_core.output.foreign_settings import parse_parameters, read_foreign_settings

TEXT = (
    "a cat next to a robot,\nbest quality, (beach:1.2)\nNegative prompt: blurry,\ndark\n"
    "Steps: 28, Sampler: DPM++ 2M, CFG scale: 6.5, Seed: 18446744073709551615, Size: 512x768, "
    'Model: dream, Lora hashes: "one: 1a, two: 2b", Version: v1.9'
)
KNOWN = {
    "prompt": "a cat next to a robot, best quality, (beach:1.2)",
    "negative_prompt": "blurry, dark",
    "steps": 28,
    "guidance": 6.5,
    "seed": 2**64 - 1,
}
REST = {
    "Sampler": "DPM++ 2M",
    "Size": "512x768",
    "Model": "dream",
    "Lora hashes": "one: 1a, two: 2b",
    "Version": "v1.9",
}


@pytest.fixture
def image() -> Image.Image:
    return Image.new("RGB", (16, 16))


@pytest.mark.parametrize("itxt", [False, True])
def test_a_png_of_another_program_is_read(itxt: bool, image: Image.Image, tmp_path: Path) -> None:
    info = PngInfo()
    (info.add_itxt if itxt else info.add_text)("parameters", TEXT)
    image.save(tmp_path / "other.png", pnginfo=info)
    found = read_foreign_settings(tmp_path / "other.png")
    assert found is not None
    assert found.known == KNOWN
    assert found.rest == REST


@pytest.mark.parametrize("form", ["jpg", "webp"])
@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_a_comment_in_exif_is_read(form: str, encoding: str, image: Image.Image, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + TEXT.encode(encoding)
    image.save(tmp_path / f"other.{form}", exif=exif)
    found = read_foreign_settings(tmp_path / f"other.{form}")
    assert found is not None
    assert found.known == KNOWN


def test_a_prompt_alone_is_a_prompt() -> None:
    assert parse_parameters("a cat: Steps of stone").known == {"prompt": "a cat: Steps of stone"}


def test_what_is_no_number_is_named() -> None:
    found = parse_parameters("a cat\nSteps: 20, Seed: random, CFG scale: 7")
    assert found.known == {"prompt": "a cat", "steps": 20, "guidance": 7.0}
    assert found.rest == {"Seed": "random"}


def test_a_picture_without_a_text_has_none(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "plain.png")
    (tmp_path / "torn.png").write_bytes(b"torn")
    assert read_foreign_settings(tmp_path / "plain.png") is None
    assert read_foreign_settings(tmp_path / "torn.png") is None
