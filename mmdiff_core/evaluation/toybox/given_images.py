"""The Toybox suite for images that another program made.

CASES/, which :func:`write_cases` writes:
    cases.json    [{"name", "prompt", "subjects": [{"name", "class", "photos": [files]}], "images": [files]}, ...]
    photos/       two photos of each toy, PNG

A program makes the ``images`` of each case, from its prompt and photos, in a folder of its own; PNG, JPEG and WebP
are read. Two images of a case should differ by their seed alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from mmdiff_core.atomic_files import atomic_file, write_text
from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.toybox.toybox_cases import COUNTS, FIRST_SEED, SEEDS, ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import MODEL, ToyboxJudge
from mmdiff_core.output.image_grid import to_image
from mmdiff_core.referee.network import Referee
from mmdiff_core.results import GeneratedImage
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.types import MapKind

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def case_name(case: ToyboxCase) -> str:
    """Return the name of a case, such as ``two_017``."""
    return f"{COUNTS[case.count]}_{case.number:03d}"


def write_cases(cases: Sequence[ToyboxCase], folder: Path, size: tuple[int, int], seeds: Sequence[int] = SEEDS) -> None:
    """Write the prompts and the photos for another program; ``size`` is (width, height) of the photos."""
    listed = []
    for case in cases:
        subjects = []
        for number, (toy, views) in enumerate(zip(case.toys, case.views, strict=True), 1):
            photos = [f"photos/{case_name(case)}_{number}_{k}.png" for k in range(1, 1 + len(views))]
            for file, pixels in zip(photos, render(views, (size[1], size[0])).images, strict=True):
                with atomic_file(folder / file) as temp_file:
                    to_image(pixels).save(temp_file, "PNG")
            name = case.scene.caption.names[number - 1]
            subjects.append({"name": name, "class": toy.class_name, "photos": photos})
        images = [f"{case_name(case)}_{seed}.png" for seed in seeds]
        prompt = case.scene.caption.text
        listed.append({"name": case_name(case), "prompt": prompt, "subjects": subjects, "images": images})
    write_text(folder / "cases.json", json.dumps(listed, indent=1) + "\n")


@dataclass(frozen=True)
class ImageFolder:
    """A folder with the images of a suite."""

    folder: Path
    seeds: tuple[int, ...] = SEEDS

    def file(self, case: ToyboxCase, seed: int) -> Path:
        """Return the file of an image.

        Raises:
            SettingsError: there is none.
        """
        stem = f"{case_name(case)}_{seed}"
        for ending in ENDINGS:
            if (self.folder / f"{stem}{ending}").is_file():
                return self.folder / f"{stem}{ending}"
        raise SettingsError(
            f'"{self.folder}" has no {stem}.png, the image of "{case.scene.caption.text}": make one for each case that '
            "--write-cases lists, or ask for fewer with --prompts."
        )

    def fingerprint(self, cases: Sequence[ToyboxCase]) -> str:
        """Return the first twelve digits of a hash over all images of the cases; raises as :meth:`file`."""
        digest = hashlib.sha256()
        for file in [self.file(case, seed) for case in cases for seed in self.seeds]:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:12]


class GivenImages(ToyboxJudge):
    """Has the referee judge images that are there already.

    Args:
        images: the folder.
        referee, size, seed, bounds, distractors: as for :class:`ToyboxJudge`.
    """

    def __init__(
        self, images: ImageFolder, referee: Referee, size: tuple[int, int], seed: int = FIRST_SEED, bounds: bool = True,
        distractors: dict[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(referee, size, seed, bounds, distractors)
        self.images = images

    def images_of(
        self, case: ToyboxCase, photos: Sequence[tuple[Image.Image, ...]]
    ) -> Iterator[tuple[str, GeneratedImage, MapKind]]:
        """Yield the images of a case as the folder has them, at the suite's size."""
        for seed in self.images.seeds:
            image = load_photo(self.images.file(case, seed)).resize(self.size, Image.Resampling.LANCZOS)
            yield MODEL, GeneratedImage(image, seed, None, (), {}), "image"
