"""Two shell commands: ``toy`` writes photos of a toy, ``sheet`` writes contact sheets of the whole world."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mmdiff_core.errors import SettingsError
from mmdiff_core.toybox.dataset import NOUNS, PLACES, random_scene, reference_scene, to_bytes, toy_photos
from mmdiff_core.toybox.renderer import render
from mmdiff_core.toybox.scene import Caption, Scene
from mmdiff_core.toybox.toys import make_toy

_LARGEST = 1024
_MOST_VIEWS = 64


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Register ``toy`` and ``sheet``; ``run`` carries them out."""
    toy = subparsers.add_parser("toy", help="render photos of a toy from several sides")
    toy.add_argument("--noun", required=True, help=f"what it is: {', '.join(NOUNS)}")
    toy.add_argument("--seed", type=int, default=0, help="which one; the same seed gives the same toy")
    toy.add_argument("--views", type=int, default=4, help="how many photos")
    toy.add_argument("--size", type=int, default=256, help="their side in pixels")
    toy.add_argument("--out", type=Path, default=Path("toys"), help="folder to write to")
    toy.set_defaults(run=run, action=_write_photos)
    sheet = subparsers.add_parser("sheet", help="render contact sheets: one per noun, one of places, one of scenes")
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


def contact_sheet(scenes: Sequence[Scene], size: int, columns: int) -> Image.Image:
    """Scenes drawn at ``size`` pixels, ``columns`` in a row."""
    return Image.fromarray(_tiled(to_bytes(render(scenes, size).images), columns).permute(1, 2, 0).numpy())


def _write_photos(args: argparse.Namespace) -> list[Path]:
    if not 1 <= args.views <= _MOST_VIEWS:
        raise SettingsError(f"The number of views is {args.views}; choose 1 to {_MOST_VIEWS}.")
    photos = toy_photos(args.noun, args.seed, args.views, args.size)
    return [_save(photo, args.out / f"{args.noun}_{args.seed}_{i}.png") for i, photo in enumerate(photos)]


def _write_sheets(args: argparse.Namespace) -> list[Path]:
    rng = random.Random(f"sheet:{args.seed}")
    written = []
    for noun in NOUNS:
        toys = [make_toy(noun, rng.getrandbits(31)) for _ in range(6)]
        scenes = [reference_scene(rng, toy) for toy in toys for _ in range(4)]
        written.append(_save(contact_sheet(scenes, args.size, 8), args.out / f"noun_{noun}.png"))
    empty = [Scene((), place, rng.getrandbits(31), 10.0, Caption("", (), "")) for place in PLACES for _ in range(6)]
    written.append(_save(contact_sheet(empty, args.size, 6), args.out / "places.png"))
    scenes = [random_scene(rng) for _ in range(40)]
    written.append(_save(contact_sheet(scenes, args.size, 8), args.out / "scenes.png"))
    return written


def _tiled(images: Tensor, columns: int) -> Tensor:
    """Pictures (B, 3, H, W) side by side, the last row filled up with black."""
    missing = -len(images) % columns
    images = torch.cat((images, images.new_zeros(missing, *images.shape[1:])))
    rows = images.unflatten(0, (-1, columns))  # (rows, columns, 3, H, W)
    return rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def _save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
