"""The settings that other programs write into their images, in the widespread layout of the ``parameters`` text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from PIL import Image

from mmdiff_core.output.export import PARAMETERS_CHUNK

EXIF_IFD, USER_COMMENT = 0x8769, 0x9286  # where JPEG and WebP have the same text
MAX_CHARACTERS = 20_000
_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'\s*([\w][\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_NUMBERS = {"Steps": ("steps", int), "CFG scale": ("guidance", float), "Seed": ("seed", int)}


@dataclass(frozen=True)
class ForeignSettings:
    """What another program wrote.

    Attributes:
        known: under our names: ``prompt``, ``negative_prompt``, ``seed``, ``steps``, ``guidance``.
        rest: everything else, under the other program's names.
    """

    known: Mapping[str, str | int | float]
    rest: Mapping[str, str]


def read_foreign_settings(path: str | PathLike[str]) -> ForeignSettings | None:
    """Return the settings that another program wrote into an image; None if there are none, or it is no image."""
    try:
        with Image.open(Path(path)) as image:
            text = image.info.get(PARAMETERS_CHUNK) or _comment(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return parse_parameters(text[:MAX_CHARACTERS]) if isinstance(text, str) and text.strip() else None


def parse_parameters(text: str) -> ForeignSettings:
    """Read a text of a prompt, a line ``Negative prompt: ...`` and a last line ``Steps: 20, Seed: 7, ...``."""
    lines = text.strip().splitlines()
    pairs = dict(_PAIR.findall(lines.pop())) if lines and re.match(r"\s*Steps:\s*\d", lines[-1]) else {}
    prompt, _, negative = "\n".join(lines).partition(_NEGATIVE)
    known: dict[str, str | int | float] = {"prompt": " ".join(prompt.split())}
    if negative.strip():
        known["negative_prompt"] = " ".join(negative.split())
    rest = {}
    for name, value in pairs.items():
        try:
            ours, kind = _NUMBERS[name]
            known[ours] = kind(value)
        except (KeyError, ValueError):
            rest[name] = value.strip('" ')
    return ForeignSettings(known, rest)


def _comment(image: Image.Image) -> str | None:
    """Return the comment of the EXIF data, whose first eight bytes name its encoding."""
    comment = image.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT)
    if not isinstance(comment, bytes):
        return comment if isinstance(comment, str) else None
    kind, text = comment[:8].rstrip(b"\0 "), comment[8:]
    if kind == b"UNICODE":
        return text.decode("utf-16-be" if text[:1] == b"\0" else "utf-16-le", "replace")
    return text.decode("utf-8", "replace").rstrip("\0")
