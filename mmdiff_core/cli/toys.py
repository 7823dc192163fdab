"""Two shell commands: ``toy`` writes photos of a toy, ``sheet`` writes contact sheets of the whole world."""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from mmdiff_core.atomic_files import written_aside
from mmdiff_core.errors import SettingsError
from mmdiff_core.output.world_sheets import contact_sheet, world_sheets
from mmdiff_core.toyworld.bodies.toys import CLASS_NAMES
from mmdiff_core.toyworld.scenes.random_scenes import toy_photos

_LARGEST = 1024
_MOST_VIEWS = 64


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Register ``toy`` and ``sheet``; ``run`` carries them out."""
    toy = subparsers.add_parser("toy", help="render photos of a toy from several sides")
    toy.add_argument("--noun", required=True, help=f"what it is: {', '.join(CLASS_NAMES)}")
    toy.add_argument("--seed", type=int, default=0, help="which one; the same seed gives the same toy")
    toy.add_argument("--views", type=int, default=4, help="how many photos")
    toy.add_argument("--size", type=int, default=256, help="their side in pixels")
    toy.add_argument("--out", type=Path, default=Path("toys"), help="folder to write to")
    toy.set_defaults(run=run, action=_write_photos)
    sheet = subparsers.add_parser(
        "sheet", help="render labelled contact sheets: every noun, places, styles, accessories, scenes"
    )
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--size", type=int, default=128, help="side of each picture in pixels")
    sheet.add_argument("--out", type=Path, default=Path("sheets"), help="folder to write to")
    sheet.set_defaults(run=run, action=_write_sheets)


def run(args: argparse.Namespace) -> int:
    """Carry out a parsed command and print the files written; raises SettingsError for what cannot be drawn."""
    if not 16 <= args.size <= _LARGEST:
        raise SettingsError(f"The size is {args.size}; choose 16 to {_LARGEST} pixels.")
    written: list[Path] = args.action(args)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


def _write_photos(args: argparse.Namespace) -> list[Path]:
    if not 1 <= args.views <= _MOST_VIEWS:
        raise SettingsError(f"The number of views is {args.views}; choose 1 to {_MOST_VIEWS}.")
    photos = toy_photos(args.noun, args.seed, args.views, args.size)
    return [_save(photo, args.out / f"{args.noun}_{args.seed}_{i}.png") for i, photo in enumerate(photos)]


def _write_sheets(args: argparse.Namespace) -> list[Path]:
    sheets = world_sheets(random.Random(f"sheet:{args.seed}"))
    return [_save(contact_sheet(rows, args.size), args.out / f"{name}.png") for name, rows in sheets]


def _save(image: Image.Image, path: Path) -> Path:
    with written_aside(path) as aside:
        image.save(aside)
    return path
