"""Colour profiles as cameras and phones write them."""

from __future__ import annotations

import struct


def wide_profile(primaries: str) -> bytes:
    """An RGB profile with the primaries of Display P3 or Adobe RGB, D50-adapted, and a gamma of 2.2."""
    columns = {
        "display p3": ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)),
        "adobe rgb": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),
    }[primaries]

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {
        b"desc": text,
        b"cprt": b"text" + bytes(4) + b"x\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249),
    }
    tags |= {
        name: b"XYZ " + bytes(4) + fixed(*xyz) for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value
    white = fixed(0.9642, 1, 0.8249)
    head = struct.pack(
        ">I4sI4s4s4s12x4s", 128 + len(table + data), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    return (head + bytes(28) + white).ljust(128, b"\0") + table + data
