"""Images of more than 8 bits keep their brightness, however many of their bits they use."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.encoders.photo import load_photo

BITS = (8, 10, 12, 14, 16)
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # PNG's, by bands


def _ramp(bits: int, bands: int = 1, brightest: int = 255) -> np.ndarray:
    """0 to ``brightest``, as of 8 bits, from left to right; (h, w, bands)."""
    row = np.linspace(0, brightest / 255 * (2**bits - 1), 64).round()
    return np.repeat(np.repeat(row[None, :, None], 16, axis=0), bands, axis=2).astype(np.uint32)


def _write_png(path: Path, values: np.ndarray) -> None:
    """As 16 bits per sample, which Pillow does not write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w, bands = values.shape
    header = struct.pack(">IIBBBBB", w, h, 16, COLOUR_TYPES[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def _write_tiff(path: Path, values: np.ndarray, order: str, deflated: bool, orientation: int = 1) -> None:
    h, w, bands = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflated else data
    fields = [(256, w), (257, h), (258, None), (259, 8 if deflated else 1), (262, 2), (273, None), (274, orientation)]
    fields += [(277, bands), (278, h), (279, len(data))]
    depths_at = 8 + 2 + 12 * len(fields) + 4
    ifd = struct.pack(f"{order}H", len(fields))
    for tag, value in fields:
        if tag == 258:
            ifd += struct.pack(f"{order}HHII", tag, 3, bands, depths_at)
        else:
            ifd += struct.pack(f"{order}HHII", tag, 4, 1, depths_at + 2 * bands if value is None else value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    depths = struct.pack(f"{order}{bands}H", *[16] * bands)
    path.write_bytes(head + ifd + bytes(4) + depths + data)


def _is_ramp(path: Path, brightest: int = 255) -> bool:
    photo = np.asarray(load_photo(path), dtype=int)
    return photo.shape == (16, 64, 3) and bool(np.abs(photo[3, :, 1] - np.linspace(0, brightest, 64)).max() <= 1)


@pytest.mark.parametrize("bits", BITS)
def test_gray_of_few_bits_in_sixteen(bits: int, tmp_path: Path) -> None:
    gray = Image.fromarray(_ramp(bits)[..., 0].astype(np.uint16))
    gray.save(tmp_path / "gray.png")
    gray.save(tmp_path / "gray.tif")
    assert _is_ramp(tmp_path / "gray.png")
    assert _is_ramp(tmp_path / "gray.tif")


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_gray_of_few_bits_in_thirty_two(bits: int, dtype: type, tmp_path: Path) -> None:
    Image.fromarray(_ramp(bits)[..., 0].astype(dtype)).save(tmp_path / "gray.tif")
    assert _is_ramp(tmp_path / "gray.tif")


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("bands", [3, 4])
def test_colour_of_few_bits_in_sixteen(bits: int, bands: int, tmp_path: Path) -> None:
    values = _ramp(bits, bands)
    values[..., 3:] = 65535
    _write_png(tmp_path / "colour.png", values)
    assert _is_ramp(tmp_path / "colour.png")


@pytest.mark.parametrize("deflated", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_colour_of_few_bits_in_a_tiff(bits: int, order: str, deflated: bool, tmp_path: Path) -> None:
    _write_tiff(tmp_path / "colour.tif", _ramp(bits, 3), order, deflated)
    assert _is_ramp(tmp_path / "colour.tif")


def test_a_dark_photo_of_known_depth_stays_dark(tmp_path: Path) -> None:
    """The header of a PGM tells its highest value, and 8 bits are 8 bits."""
    values = _ramp(16, brightest=40)[..., 0]
    (tmp_path / "dark.pgm").write_bytes(b"P5 64 16 65535\n" + values.astype(">u2").tobytes())
    assert _is_ramp(tmp_path / "dark.pgm", brightest=40)
    Image.fromarray(_ramp(8, brightest=40)[..., 0].astype(np.uint8)).save(tmp_path / "dark.png")
    assert _is_ramp(tmp_path / "dark.png", brightest=40)


def test_a_turned_photo_of_few_bits_is_still_turned(tmp_path: Path) -> None:
    _write_tiff(tmp_path / "turned.tif", _ramp(12, 3), "<", False, orientation=6)
    assert load_photo(tmp_path / "turned.tif").size == (16, 64)


def test_black_stays_black(tmp_path: Path) -> None:
    _write_png(tmp_path / "black.png", np.zeros((16, 64, 3), dtype=np.uint32))
    assert np.asarray(load_photo(tmp_path / "black.png")).max() == 0
