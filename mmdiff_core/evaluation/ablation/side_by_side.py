"""The first prompts of the suite by every variant side by side, and the time per image."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from mmdiff_core.evaluation.toybox.toybox_cases import COUNTS, ToyboxCase, draw_toybox_cases
from mmdiff_core.evaluation.toybox.toybox_judge import subject_heatmaps
from mmdiff_core.maps.heatmap import overlay_subjects
from mmdiff_core.output.image_grid import GAP, image_grid, text_block, to_image
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.toyworld.render.renderer import render
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.types import GenerateRequest, MapKind, Recording, Subject

SHOWN = {1: 2, 2: 2}  # prompts by the number of subjects
ROUNDS = 5
SIDE = 128
_LABEL_WIDTH = 150
_TITLE_HEIGHT = 48  # of three lines


@dataclass(frozen=True)
class ImageTimes:
    """Seconds per image over some rounds."""

    median: float
    least: float
    most: float
    rounds: int


def shown_cases(vocabulary: Vocabulary, seed: int) -> list[ToyboxCase]:
    """Return the prompts on the sheet, the first of the suite."""
    return draw_toybox_cases(vocabulary, SHOWN, seed)


def request_of(case: ToyboxCase, size: tuple[int, int]) -> GenerateRequest:
    """Return the request for one image of a case; ``size`` is (width, height) of the photos."""
    photos = [[to_image(x) for x in render(views, size[::-1]).images] for views in case.views]
    names = case.scene.caption.names
    subjects = tuple(Subject(name, tuple(own)) for name, own in zip(names, photos, strict=True))
    return GenerateRequest(case.scene.caption.text, subjects, recording=None)


def draw_variant_images(
    personalizer: Personalizer, vocabulary: Vocabulary, seed: int, map_kind: MapKind, folder: Path
) -> None:
    """Write the shown prompts' images, plain and with heatmaps, unless they are in the folder already."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in shown_cases(vocabulary, seed):
        plain, mapped = _files(folder, case)
        if mapped.exists():
            continue
        request = replace(request_of(case, personalizer.sizes.default), recording=Recording((map_kind,)))
        *_, last = personalizer.generate(request)
        assert last.finished is not None
        assert last.finished.maps is not None
        last.finished.image.save(plain)
        overlay_subjects(last.finished.image, subject_heatmaps(last.finished.maps, map_kind)).save(mapped)


def time_images(personalizers: Mapping[str, Personalizer], vocabulary: Vocabulary, seed: int) -> dict[str, ImageTimes]:
    """Measure the seconds per image of two subjects without maps, over ``ROUNDS``.

    The models take turns, so that other load on the machine affects all alike. A model without an adapter generates
    from the words alone.
    """
    case = draw_toybox_cases(vocabulary, {2: 1}, seed)[0]
    taken: dict[str, list[float]] = {name: [] for name in personalizers}
    requests = {name: _timed_request(personalizer, case) for name, personalizer in personalizers.items()}
    turns = [(round_, name) for round_ in range(1 + ROUNDS) for name in personalizers]
    for round_, name in tqdm(turns, desc="seconds per image", unit="image", dynamic_ncols=True):
        began = time.perf_counter()
        *_, _last = personalizers[name].generate(requests[name])  # ends with the image on the host
        if round_:  # the first warms up
            taken[name].append(time.perf_counter() - began)
    return {name: ImageTimes(statistics.median(own), min(own), max(own), len(own)) for name, own in taken.items()}


def _timed_request(personalizer: Personalizer, case: ToyboxCase) -> GenerateRequest:
    request = request_of(case, personalizer.sizes.default)
    return request if personalizer.adapter is not None else replace(request, subjects=())


def write_comparison_sheet(
    vocabulary: Vocabulary, seed: int, size: tuple[int, int], rows: Mapping[str, Path], path: Path
) -> None:
    """Draw photos and render of each shown prompt, and below them a row per variant.

    Args:
        vocabulary, seed: of the suite.
        size: (width, height) of the model's images.
        rows: folders of :func:`draw_variant_images` by the labels of the rows.
        path: of the PNG.
    """
    cases = shown_cases(vocabulary, seed)
    photos, renders = zip(*(_real_cells(case, size) for case in cases), strict=True)
    titles = [text_block([case.scene.caption.text], 2 * SIDE + GAP, _TITLE_HEIGHT) for case in cases]
    sheet = [
        [_label("", _TITLE_HEIGHT), *titles],
        [_label("photo (of each subject)"), *itertools.chain(*photos)],
        [_label("the prompt, rendered"), *itertools.chain(*renders)],
        *(
            [_label(name), *(_fitted(Image.open(file)) for case in cases for file in _files(folder, case))]
            for name, folder in rows.items()
        ),
    ]
    image_grid(sheet).save(path)


def _real_cells(case: ToyboxCase, size: tuple[int, int]) -> tuple[list[Image.Image], list[Image.Image]]:
    """Return the cells of a case's photos and of its render, two each."""
    blank = Image.new("RGB", (SIDE, SIDE), "white")
    photos = [_fitted(to_image(photo)) for photo in render([views[0] for views in case.views], size[::-1]).images]
    rendered = to_image(render([case.scene], size[::-1]).images[0])
    return [*photos, *[blank] * (2 - len(photos))], [_fitted(rendered), blank]


def _files(folder: Path, case: ToyboxCase) -> tuple[Path, Path]:
    """Return the files of the image, plain and with heatmaps."""
    stem = f"{COUNTS[case.count]}_{case.number}"
    return folder / f"{stem}.png", folder / f"{stem}_maps.png"


def _fitted(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _label(text: str, height: int = SIDE) -> Image.Image:
    return text_block([text], _LABEL_WIDTH, height)
