"""``python -m mmdiff_core toy`` and ``contact-sheets``: photos of one toy, and the whole rendered world at a glance."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from PIL import Image

MIN_SIZE, MAX_SIZE = 16, 1024
MAX_VIEWS = 64


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands; importing torch waits until one runs."""
    toy = subparsers.add_parser(
        "toy",
        help="render photos of a toy from several sides",
        description="Render photos of a toy from several sides. A class and a seed always give the same toy.",
    )
    add = toy.add_argument
    add(
        "--class",
        dest="class_name",
        required=True,
        metavar="NAME",
        help="the class, such as cat; an unknown one prints the list",
    )
    add("--seed", type=int, default=0, help="which toy of the class; from 900000 on, never trained on (default: 0)")
    add("--views", type=int, default=4, help="how many photos (default: 4)")
    add("--size", type=int, default=256, help="side of a photo in pixels (default: 256)")
    add("--out", type=Path, default=Path("toys"), metavar="FOLDER", help="where the photos go (default: toys/)")
    toy.set_defaults(run=run_toy)
    sheets = subparsers.add_parser(
        "contact-sheets",
        help="render labelled contact sheets of the whole world",
        description="Render labelled contact sheets: every class, backgrounds, styles, accessories and scenes.",
    )
    add = sheets.add_argument
    add("--seed", type=int, default=0, help="which toys and scenes are shown (default: 0)")
    add("--size", type=int, default=128, help="side of each image in pixels (default: 128)")
    add("--out", type=Path, default=Path("sheets"), metavar="FOLDER", help="where the sheets go (default: sheets/)")
    sheets.set_defaults(run=run_contact_sheets)


def run_toy(args: argparse.Namespace) -> int:
    """Write photos of a toy.

    Raises:
        SettingsError: there is no such class, or a number is out of range.
    """
    from mmdiff_core.toyworld import toy_photos

    _check_size(args.size)
    if not 1 <= args.views <= MAX_VIEWS:
        raise SettingsError(f"The number of views is {args.views}; choose 1 to {MAX_VIEWS}.")
    photos = toy_photos(args.class_name, args.seed, args.views, args.size)
    return _write((args.out / f"{args.class_name}_{args.seed}_{i}.png", photo) for i, photo in enumerate(photos))


def run_contact_sheets(args: argparse.Namespace) -> int:
    """Write the contact sheets.

    Raises:
        SettingsError: the size is out of range.
    """
    from mmdiff_core.output.world_sheets import contact_sheet, world_sheets

    _check_size(args.size)
    sheets = world_sheets(random.Random(f"sheet:{args.seed}"))
    return _write((args.out / f"{name}.png", contact_sheet(rows, args.size)) for name, rows in sheets)


def _check_size(size: int) -> None:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise SettingsError(f"The size is {size}; choose {MIN_SIZE} to {MAX_SIZE} pixels.")


def _write(images: Iterable[tuple[Path, Image.Image]]) -> int:
    """Write the images one by one, and print their paths."""
    from mmdiff_core.atomic_files import atomic_file

    for path, image in images:
        with atomic_file(path) as temp_file:
            image.save(temp_file)
        sys.stdout.write(f"{path}\n")
    return 0
