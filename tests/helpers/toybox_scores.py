"""Scores of images by hand, and images that were judged."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from mmdiff_core.evaluation.toybox.toybox_cases import ToyboxCase
from mmdiff_core.evaluation.toybox.toybox_judge import CaseOutcome, JudgedImage, ToyboxScores
from mmdiff_core.referee.metrics import THRESHOLDS


def pair_scores(kind: str, number: int, seed: int, right: bool, iou: float, swap: list[bool]) -> ToyboxScores:
    """Score an image of two subjects: the first as given, the second right; the third threshold is the best."""
    curve = [0.1, 0.1, iou] + [0.0] * (len(THRESHOLDS) - 3)
    return ToyboxScores(
        kind, 2, number, seed, "", [right, True], swap, right, right, True, [right, True], [curve, curve],
        twice=[False, False],
    )  # fmt: skip


def outcome(case: ToyboxCase, kinds: tuple[tuple[str, int], ...], side: int = 32) -> CaseOutcome:
    """Return grey images of a case, an image for each kind and seed, with a region and a peak per subject."""
    photos = tuple((Image.new("RGB", (side, side), "orange"),) * 2 for _ in case.toys)
    heatmap = np.zeros((8, 8), dtype=np.float32)
    heatmap[2, 2] = 1.0
    regions = torch.zeros(case.count, side, side, dtype=torch.bool)
    regions[:, : side // 2] = True
    images = []
    for kind, seed in kinds:
        yes = [True] * case.count
        scores = ToyboxScores(kind, case.count, case.number, seed, "", yes, [], True, False, True, yes, [], [0.5])
        images.append(JudgedImage(scores, Image.new("RGB", (side, side), "grey"), (heatmap,) * case.count, regions))
    return CaseOutcome(case, photos, tuple(images))
