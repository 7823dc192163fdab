"""How well each kind of map points at its subject, measured against exact masks.

REPORT/
    pointing.json, pointing.md, pointing.png   the results
    scenes/00000.npz                           the measures of each scene; a later start continues behind the last
    settings.json                              what was evaluated; a start with other settings is refused
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.backbones.toybox import FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.pointing.map_choices import MapChoice, chosen_map, map_choices
from mmdiff_core.evaluation.pointing.noised_renders import PointedScene, point
from mmdiff_core.evaluation.pointing.report import PointingScores, write_pointing_report
from mmdiff_core.evaluation.result_folder import claim_folder, weights_fingerprint
from mmdiff_core.evaluation.toybox.toybox_cases import draw_toybox_cases
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.referee.metrics import THRESHOLDS, area_under_curve, iou_curve, peak_inside

SCENES = {1: 100, 2: 200, 3: 100}  # by the number of subjects
QUICK_SCENES = {1: 5, 2: 10, 3: 5}
GRID = 48  # cells a side on which maps are compared with masks: the finest maps have a quarter of them
HALF = 0.5  # the least share of a cell that a toy covers where the cell is its own
MIN_CELLS = 12  # a toy that shows less of itself is not asked for
FIRST_SEED = 970_000  # of the identities, behind those of the other suites


@dataclass(frozen=True)
class PointingOptions:
    """What to measure, and how much of it."""

    folder: Path
    model: Path = FOLDER
    scenes: Mapping[int, int] = field(default_factory=lambda: SCENES)
    device: str = "cpu"


def evaluate_pointing(options: PointingOptions) -> str:
    """Measure the remaining scenes and write the report; return the content of ``pointing.md``.

    Raises:
        SettingsError: the folder contains another evaluation, or no toy shows enough of itself.
        ModelError: the model is missing or broken.
    """
    backbone, adapter = load_toybox(options.model, options.device)
    personalizer = Personalizer(backbone, adapter)
    about = {"model": weights_fingerprint(options.model), "scenes": {str(k): n for k, n in options.scenes.items()}}
    claim_folder(options.folder, about)
    cases = draw_toybox_cases(backbone.vocabulary, options.scenes, FIRST_SEED)
    choices = map_choices(cross_attention_layers(backbone.unet))
    scores = []
    for index, case in enumerate(tqdm(cases, desc="pointing", unit="scene", dynamic_ncols=True)):
        file = options.folder / "scenes" / f"{index:05d}.npz"
        if not file.exists():
            measured = measure(point(personalizer, case), choices)
            with atomic_file(file) as temp_file, temp_file.open("wb") as opened:
                np.savez_compressed(opened, allow_pickle=False, **measured)
        with np.load(file) as stored:
            scores.append(PointingScores(index, case.count, stored["peaks"], stored["areas"], stored["curves"]))
    if not any(len(scene.peaks) for scene in scores):
        raise SettingsError("No toy of these scenes shows enough of itself: ask for more scenes with --prompts.")
    return write_pointing_report(choices, scores, options.folder, about)


def measure(scene: PointedScene, choices: Sequence[MapChoice]) -> dict[str, np.ndarray]:
    """Measure every choice of map for every subject that can be seen; n subjects, M choices, T thresholds.

    Returns:
        ``peaks`` (n, M) bool, ``areas`` (n, M) under the ROC curve and ``curves`` (n, M, T) of IoU, float16.
    """
    regions = [_coarse(mask) for mask in scene.masks[: scene.case.count]]
    seen = [(subject, region) for subject, region in enumerate(regions) if region.sum() >= MIN_CELLS]
    peaks, areas, curves = [], [], []
    for subject, region in seen:
        maps = [chosen_map(scene.maps, subject, choice, scene.latent_size) for choice in choices]
        peaks.append([peak_inside(values, region) for values in maps])
        areas.append([area_under_curve(values, region) for values in maps])
        curves.append([iou_curve(values, region) for values in maps])
    shape = (len(seen), len(choices))
    return {
        "peaks": np.array(peaks, dtype=bool).reshape(shape),
        "areas": np.array(areas, dtype=np.float16).reshape(shape),
        "curves": np.array(curves, dtype=np.float16).reshape(*shape, len(THRESHOLDS)),
    }


def _coarse(mask: np.ndarray) -> np.ndarray:
    """Return a mask (H, W) on the grid: the cells that the toy covers at least half of."""
    cells = F.adaptive_avg_pool2d(torch.from_numpy(mask).float()[None, None], GRID)[0, 0]
    return (cells >= HALF).numpy()
