"""The first prompts of the suite by every variant side by side, and how long a picture takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from mmdiff_core.evaluation.toybox.report import COUNTS
from mmdiff_core.evaluation.toybox.suite import ToyboxCase, draw_toybox_cases
from mmdiff_core.maps.heatmap import colour_of, overlay
from mmdiff_core.output.image_grid import tile, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import GenerateRequest, MapKind, Recording, Subject

SHOWN = {1: 2, 2: 2}  # prompts by the number of subjects
ROUNDS = 5
SIDE = 128
_LABEL = 150
_LINE = 14


@dataclass(frozen=True)
class ImageTimes:
    """What a picture took in so many rounds."""

    median: float
    least: float
    most: float
    rounds: int


def shown_cases(vocabulary: Vocabulary, seed: int) -> list[ToyboxCase]:
    """The prompts on the sheet: the first of the suite."""
    return draw_toybox_cases(vocabulary, SHOWN, seed)


def request_of(case: ToyboxCase, size: tuple[int, int]) -> GenerateRequest:
    """One picture of a case. Args: size (width, height) of the photos."""
    photos = [[to_image(x) for x in render(views, size[::-1]).images] for views in case.views]
    names = case.scene.caption.names
    subjects = tuple(Subject(name, tuple(own)) for name, own in zip(names, photos, strict=True))
    return GenerateRequest(case.scene.caption.text, subjects, recording=None)


def draw_variant_images(
    personalizer: Personalizer, vocabulary: Vocabulary, seed: int, stream: MapKind, folder: Path
) -> None:
    """Write the shown prompts' pictures, and the same with their heatmaps, that are not in the folder yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in shown_cases(vocabulary, seed):
        plain, mapped = _files(folder, case)
        if mapped.exists():
            continue
        request = replace(request_of(case, personalizer.sizes.default), recording=Recording((stream,)))
        *_, last = personalizer.generate(request)
        assert last.finished is not None
        assert last.finished.maps is not None
        image = last.finished.image
        image.save(plain)
        for s in range(case.count):
            image = overlay(image, last.finished.maps.at(s, stream), colour_of(s))
        image.save(mapped)


def time_images(personalizers: Mapping[str, Personalizer], vocabulary: Vocabulary, seed: int) -> dict[str, ImageTimes]:
    """Seconds per picture of two subjects, without maps: median, least and most of ``ROUNDS``.

    The variants take turns, so that whatever else the machine does hits all alike. A model without an adapter draws
    from the words.
    """
    case = draw_toybox_cases(vocabulary, {2: 1}, seed)[0]
    taken: dict[str, list[float]] = {name: [] for name in personalizers}
    requests = {name: _timed_request(personalizer, case) for name, personalizer in personalizers.items()}
    turns = [(round_, name) for round_ in range(1 + ROUNDS) for name in personalizers]
    for round_, name in tqdm(turns, desc="seconds per picture", unit="picture", dynamic_ncols=True):
        began = time.perf_counter()
        *_, _last = personalizers[name].generate(requests[name])  # ends with the picture on the host
        if round_:  # the first warms up
            taken[name].append(time.perf_counter() - began)
    return {name: ImageTimes(statistics.median(own), min(own), max(own), len(own)) for name, own in taken.items()}


def _timed_request(personalizer: Personalizer, case: ToyboxCase) -> GenerateRequest:
    request = request_of(case, personalizer.sizes.default)
    return request if personalizer.adapter is not None else replace(request, subjects=())


def write_comparison_sheet(
    vocabulary: Vocabulary, seed: int, size: tuple[int, int], rows: Mapping[str, Path], path: Path
) -> None:
    """One picture of all: photos and render of each shown prompt, then a row per variant.

    Args:
        vocabulary, seed: of the suite.
        size: (width, height) of the model's pictures.
        rows: folder of :func:`draw_variant_images` by what to call the row.
        path: of the PNG.
    """
    cases = shown_cases(vocabulary, seed)
    real = [_row_of_renders(case, size) for case in cases]
    sheet = [
        [_label(""), *(_title(case) for case in cases)],
        [_label("photo (of each subject)"), *(cell for photos, _ in real for cell in photos)],
        [_label("the prompt, rendered"), *(cell for _, render in real for cell in render)],
        *([_label(name), *(cell for case in cases for cell in _made(folder, case))] for name, folder in rows.items()),
    ]
    tile(sheet).save(path)


def _row_of_renders(case: ToyboxCase, size: tuple[int, int]) -> tuple[list[Image.Image], list[Image.Image]]:
    """A case's photos and its render, two cells each."""
    photos = render([views[0] for views in case.views], size[::-1]).images
    drawn = to_image(render([case.scene], size[::-1]).images[0])
    cells = [_fitted(to_image(photo)) for photo in photos]
    return [*cells, *[_blank()] * (2 - len(cells))], [_fitted(drawn), _blank()]


def _made(folder: Path, case: ToyboxCase) -> Sequence[Image.Image]:
    return [_fitted(Image.open(file)) for file in _files(folder, case)]


def _files(folder: Path, case: ToyboxCase) -> tuple[Path, Path]:
    """The picture and the same with heatmaps."""
    stem = f"{COUNTS[case.count]}_{case.number}"
    return folder / f"{stem}.png", folder / f"{stem}_maps.png"


def _fitted(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _blank() -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), "white")


def _label(text: str) -> Image.Image:
    return _written(text, _LABEL, SIDE if text else 3 * _LINE)


def _title(case: ToyboxCase) -> Image.Image:
    return _written(case.scene.caption.text, 2 * SIDE + 2, 3 * _LINE)


def _written(text: str, width: int, height: int) -> Image.Image:
    """Text on white, wrapped at words."""
    cell, font = Image.new("RGB", (width, height), "white"), ImageFont.load_default(11)
    draw, line, top = ImageDraw.Draw(cell), "", 3
    for word in [*text.split(), ""]:
        longer = f"{line} {word}".strip()
        if word and draw.textlength(longer, font) < width - 6:
            line = longer
            continue
        draw.text((3, top), line, "black", font)
        line, top = word, top + _LINE
    return cell
