"""What hostile and unlucky visitors upload: a few hundred files, and whether each is a photo that can be used."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from tests.helpers.icc import wide_profile

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "TGA", "PPM")
SUFFIX = {"JPEG": "jpg", "TIFF": "tif"}


@dataclass(frozen=True)
class Upload:
    """``good`` is None where either end is right: a damaged file may still hold a whole picture."""

    kind: str
    name: str
    data: bytes
    good: bool | None


def all_uploads() -> Iterator[Upload]:
    """Every case, always the same."""
    yield from _odd_but_good()
    yield from _cut_off()
    yield from _scrambled()
    yield from _wrong_inside()
    yield from _sizes()
    yield from _bombs()
    yield from _names()


def picture(size: tuple[int, int] = (48, 32), mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Noise, so that nothing is compressed away."""
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(noise, "RGBA").convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _file(kind: str) -> bytes:
    return encoded(picture(), kind)


def _name(kind: str) -> str:
    return f"photo.{SUFFIX.get(kind, kind.lower())}"


def _odd_but_good() -> Iterator[Upload]:
    for kind in FORMATS:
        yield Upload(f"plain {kind}", _name(kind), _file(kind), True)
        yield Upload(f"{kind} named .dat.png", "photo.dat.png", _file(kind), True)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield Upload(f"png {mode}", "mode.png", encoded(picture(mode=mode), "PNG"), True)
    for mode in ("L", "CMYK"):
        yield Upload(f"jpeg {mode}", "mode.jpg", encoded(picture(mode=mode), "JPEG"), True)
    for mode in ("L", "CMYK", "LAB", "F", "I;16"):
        image = picture(mode="L").convert("I;16") if mode == "I;16" else picture(mode="RGB")
        image = image if mode == "I;16" else _to(image, mode)
        yield Upload(f"tiff {mode}", "mode.tif", encoded(image, "TIFF"), True)
    deep = np.linspace(0, 65535, 48 * 32).astype(np.uint16).reshape(32, 48)
    yield Upload("16-bit png", "deep.png", encoded(Image.fromarray(deep), "PNG"), True)
    palette = picture(mode="P")
    for index in (0, 7, 255):
        yield Upload("palette with transparency", "see.png", encoded(palette, "PNG", transparency=index), True)
        yield Upload("gif with transparency", "see.gif", encoded(palette, "GIF", transparency=index), True)
    for turn in range(10):  # 0 and 9 are no turns that there are
        exif = Image.Exif()
        exif[0x0112] = turn
        yield Upload(f"exif turn {turn}", "turned.jpg", encoded(picture(), "JPEG", exif=exif), True)
    frames = [picture(seed=seed) for seed in range(5)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        moving = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Upload(f"animated {kind}", f"moving.{kind.lower()}", moving, True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {"sRGB": profile, "cut": profile[:100], "nonsense": b"\xff" * 3000}
    profiles |= {name: wide_profile(name) for name in ("display p3", "adobe rgb")}
    for name, icc in profiles.items():
        yield Upload(f"profile {name}", "colour.jpg", encoded(picture(), "JPEG", icc_profile=icc), True)
        yield Upload(f"profile {name}", "colour.png", encoded(picture(), "PNG", icc_profile=icc), True)


def _to(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    return image.convert("L").convert("F") if mode == "F" else image.convert(mode)


def _cut_off() -> Iterator[Upload]:
    for kind in FORMATS:
        data = _file(kind)
        for share in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
            cut = data[: int(len(data) * share)]
            yield Upload(f"{kind} cut at {share}", _name(kind), cut, False if share <= 0.02 else None)


def _scrambled() -> Iterator[Upload]:
    rng = random.Random(0)
    for kind in FORMATS:
        for number in range(8):
            data = bytearray(_file(kind))
            for _ in range(1 + number * 4):
                data[rng.randrange(len(data))] = rng.randrange(256)
            yield Upload(f"{kind} scrambled {number}", _name(kind), bytes(data), None)


def _wrong_inside() -> Iterator[Upload]:
    insides = {
        "nothing": b"",
        "a zero": b"\0",
        "zeros": bytes(5000),
        "text": b"not a photo at all",
        "html": b"<html><script>alert(1)</script></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "svg that reads a file": b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(/etc/passwd) (r) file\n",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "pickle": b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "mp4": b"\0\0\0\x18ftypmp42" + bytes(60),
        "imagemagick": b"push graphic-context\nimage over 0,0 0,0 'ephemeral:/etc/passwd'\n",
        "xbm": b"#define x_width 64\n#define x_height 64\nstatic char x_bits[] = {0x00};\n",
        "header of a png": b"\x89PNG\r\n\x1a\n",
        "header of a jpeg": b"\xff\xd8\xff\xe0",
        "header of a gif": b"GIF89a",
    }
    for kind, data in insides.items():
        for suffix in ("png", "jpg", "webp"):
            yield Upload(f"{kind} as {suffix}", f"photo.{suffix}", data, False)
    for kind in ("PNG", "JPEG", "GIF"):
        for tail in (b"<script>alert(1)</script>", b"PK\x03\x04" + bytes(200), b"<?php system($_GET[0]);?>"):
            yield Upload(f"{kind} with a tail", _name(kind), _file(kind) + tail, True)
            yield Upload(f"tail before {kind}", _name(kind), tail + _file(kind), None)


def _sizes() -> Iterator[Upload]:
    for size in ((1, 1), (1, 5000), (7, 7), (20000, 1), (2, 2), (20000, 10), (10, 20000), (65000, 8)):
        yield Upload(f"{size}", "odd.png", encoded(Image.new("RGB", size), "PNG"), False)
    for size in ((8, 8), (1000, 8), (5000, 5000)):
        yield Upload(f"{size}", "odd.png", encoded(Image.new("L", size), "PNG"), True)
    for mode, bits in (("I;16", "16"), ("F", "32")):
        deep = Image.new(mode, (4000, 4000), 1)
        yield Upload(f"{bits} bits of 4000 x 4000", "deep.tif", encoded(deep, "TIFF", compression="tiff_lzw"), True)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_claiming(width: int, height: int, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = [_chunk(b"IHDR", header), *more, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _bombs() -> Iterator[Upload]:
    for side in (30_000, 60_000, 2**31 - 1, 8001):
        yield Upload(f"png that claims {side}", "bomb.png", _png_claiming(side, side), False)
    text = zlib.compress(bytes(30 * 2**20), 9)
    yield Upload("text bomb", "bomb.png", _png_claiming(32, 32, _chunk(b"zTXt", b"k\0\0" + text)), False)
    yield Upload("profile bomb", "bomb.png", _png_claiming(32, 32, _chunk(b"iCCP", b"k\0\0" + text)), None)
    yield Upload("black 9000 x 9000", "bomb.png", encoded(Image.new("1", (9000, 9000)), "PNG"), False)
    yield Upload("depth that is none", "odd.png", _png_claiming(32, 32, depth=5), False)
    yield Upload("colour that is none", "odd.png", _png_claiming(32, 32, colour=5), False)
    many = [Image.new("P", (32, 32), seed % 250) for seed in range(400)]
    yield Upload("400 frames", "long.gif", encoded(many[0], "GIF", save_all=True, append_images=many[1:]), True)


def _names() -> Iterator[Upload]:
    good = _file("PNG")
    names = [
        "../../../../etc/passwd.png",
        "..\\..\\windows\\win.png",
        "/etc/passwd.png",
        "a" * 240 + ".png",
        ".png",
        "con.png",
        "photo.png.exe",
        "photo.svg",
        "photo.html",
        "photo",
        "<img src=x onerror=alert(1)>.png",
        '"><script>alert(1)</script>.png',
        "%2e%2e%2fpasswd.png",
        "${HOME}.png",
        "`id`.png",
        "a;rm -rf x.png",
        "猫 🐈.png",
        "\u202egnp.tac.png",
        "e\u0301.png",
        " .png",
        "-rf.png",
        "photo\t.png",
    ]
    for name in names:
        yield Upload(f"named {name[:20]!r}", name, good, True)
