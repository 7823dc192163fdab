"""``python -m mmdiff_core showcase``: images and heatmaps of toys never seen in training, as one PNG.

It makes the README's image. Seeds count up from 0; nothing is picked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL.Image import Resampling

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.model_flags import BUILT_IN

if TYPE_CHECKING:
    from PIL import Image

    from mmdiff_core.pipeline import Personalizer

SIDE = 192  # of every image in the grid, in pixels


class ShowcaseRow(NamedTuple):
    """A prompt and the held-out toys in it: (class, how many after the first held-out identity)."""

    prompt: str
    toys: tuple[tuple[str, int], ...]


ROWS = (
    ShowcaseRow("a cat next to a robot on the beach", (("cat", 5), ("robot", 3))),
    ShowcaseRow("a rabbit to the left of a car in the forest", (("rabbit", 2), ("car", 9))),
    ShowcaseRow("a bear and a penguin in space", (("bear", 4), ("penguin", 1))),
    ShowcaseRow("an elephant in the bedroom", (("elephant", 7),)),
    ShowcaseRow("a dinosaur in the snow", (("dinosaur", 6),)),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "showcase",
        help="generate images of toys never seen in training, with heatmaps, as one PNG",
        description="Generate images of toys never seen in training, with their heatmaps, as one PNG. Seeds count up "
        "from 0; nothing is picked.",
    )
    add = parser.add_argument
    add("--model", default=BUILT_IN, metavar="FOLDER", help="a model that training wrote (default: the built-in one)")
    add("--images", type=int, default=2, help="images of each prompt (default: 2)")
    add("--out", type=Path, default=Path("showcase.png"), metavar="FILE", help="the PNG to write")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the grid; errors as ``Personalizer.load``.

    Raises:
        SettingsError: the number of images makes no sense.
    """
    from mmdiff_core.atomic_files import atomic_file
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.output.image_grid import image_grid
    from mmdiff_core.pipeline import Personalizer

    check_at_least(args, images=1)
    quiet_libraries()
    personalizer = Personalizer.load(args.model)
    rows = [draw_row(personalizer, row, args.images) for row in ROWS]
    with atomic_file(args.out) as temp_file:
        image_grid(rows).save(temp_file)
    sys.stdout.write(f"{args.out}\n")
    return 0


def draw_row(personalizer: Personalizer, row: ShowcaseRow, count: int) -> list[Image.Image]:
    """Return the photos of a row's toys, then each generated image and the same with the heatmaps of all subjects."""
    from mmdiff_core.maps.heatmap import overlay_subjects
    from mmdiff_core.toyworld import HELD_OUT, toy_photos
    from mmdiff_core.types import GenerateRequest, Subject

    photos = [toy_photos(class_name, HELD_OUT + seed, 2, SIDE) for class_name, seed in row.toys]
    subjects = tuple(Subject(name, tuple(own)) for (name, _), own in zip(row.toys, photos, strict=True))
    *_, last = personalizer.generate(GenerateRequest(row.prompt, subjects, seeds=tuple(range(count))))
    assert last.result is not None
    shown = [own[0] for own in photos] if len(photos) > 1 else photos[0]
    for generated in last.result:
        assert generated.maps is not None
        large = generated.image.resize((SIDE, SIDE), Resampling.BICUBIC)
        shown += [large, overlay_subjects(large, [generated.maps.at(i, "image") for i in range(len(subjects))])]
    return shown
