"""``python -m mmdiff_core showcase``: what the weights do with toys that they never saw, in one picture.

The README's picture is made by it. Seeds are counted up from 0; nothing is picked.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

    from mmdiff_core.pipeline import Personalizer

SIDE = 176


class Scene(NamedTuple):
    """A prompt and the held-out toys that it names: (noun, how many after the first held-out identity)."""

    prompt: str
    toys: tuple[tuple[str, int], ...]


SCENES = (
    Scene("a cat next to a robot on the beach", (("cat", 5), ("robot", 3))),
    Scene("a rabbit to the left of a car in the forest", (("rabbit", 2), ("car", 9))),
    Scene("a bear and a penguin in space", (("bear", 4), ("penguin", 1))),
    Scene("an elephant in the bedroom", (("elephant", 7),)),
    Scene("a dinosaur in the snow", (("dinosaur", 6),)),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser("showcase", help="pictures and heatmaps of toys never seen in training, as one PNG")
    parser.add_argument("--model", default="toybox", help='"toybox", or a folder that training wrote')
    parser.add_argument("--pictures", type=int, default=2, help="pictures of each prompt, seeds counted up from 0")
    parser.add_argument("--out", type=Path, default=Path("showcase.png"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the picture."""
    from mmdiff_core.atomic_files import written_aside
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.output.image_grid import tile
    from mmdiff_core.pipeline import Personalizer

    quiet_libraries()
    personalizer = Personalizer.load(args.model)
    rows = [row(personalizer, scene, args.pictures) for scene in SCENES]
    with written_aside(args.out) as aside:
        tile(rows).save(aside)
    sys.stdout.write(f"{args.out}\n")
    return 0


def row(personalizer: Personalizer, scene: Scene, pictures: int) -> list[Image.Image]:
    """The photos, then every picture with the heatmaps of all its subjects beside it."""
    from mmdiff_core.maps.heatmap import colour_of, overlay
    from mmdiff_core.toyworld.scenes.random_scenes import HELD_OUT, toy_photos
    from mmdiff_core.types import GenerateRequest, Subject

    photos = [toy_photos(noun, HELD_OUT + seed, 2, SIDE) for noun, seed in scene.toys]
    subjects = tuple(Subject(noun, tuple(own)) for (noun, _), own in zip(scene.toys, photos, strict=True))
    *_, last = personalizer.generate(GenerateRequest(scene.prompt, subjects, seeds=tuple(range(pictures))))
    assert last.result is not None
    shown = [own[0] for own in photos] if len(photos) > 1 else photos[0]
    for picture in last.result:
        mapped = picture.image
        for s in range(len(subjects)):
            assert picture.maps is not None
            mapped = overlay(mapped, picture.maps.at(s, "image"), colour_of(s))
        shown += [_enlarged(picture.image), _enlarged(mapped)]
    return shown


def _enlarged(picture: Image.Image) -> Image.Image:
    from PIL import Image

    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
