"""The measures, as functions of plain values, and their confidence intervals.

Letters: n cases, S subjects of an image, E width of an embedding, T thresholds, (h, w) a heatmap, (H, W) a region.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from mmdiff_core.maps.heatmap import enlarge, normalise

CANDIDATES = 16
CONFIDENCE_Z = 1.959964  # 95 %
THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
RESAMPLES = 2000
MIN_BODY = 0.02  # of the image: a smaller piece of a region is no second body
COARSE = 48  # pixels a side, on which bodies are counted; the referee's own regions are no finer
MIN_SHARE = 0.3  # of the region's largest piece


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % confidence interval; ``n`` cases went into it."""

    mean: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """Return the numbers of the report, rounded to four decimals."""
        return {name: round(value, 4) if name != "n" else value for name, value in asdict(self).items()}


def proportion(hits: Sequence[bool], clusters: Sequence[Hashable] | None = None) -> Estimate:
    """Return the share of hits with Wilson's score interval (Wilson 1927).

    Cases of one cluster (images of one prompt) are not independent. The interval counts each cluster as one trial,
    which is conservative. Without ``clusters`` every case is a trial.
    """
    if not hits:
        return _NOTHING
    mean = sum(map(bool, hits)) / len(hits)
    trials = len(hits) if clusters is None else len(set(clusters))
    z2 = CONFIDENCE_Z**2 / trials
    middle = (mean + z2 / 2) / (1 + z2)
    reach = CONFIDENCE_Z / (1 + z2) * math.sqrt(mean * (1 - mean) / trials + z2 / (4 * trials))
    # Where all or none are hits, rounding may put an end slightly inside the mean.
    return Estimate(mean, max(0.0, min(mean, middle - reach)), min(1.0, max(mean, middle + reach)), len(hits))


def average(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Estimate:
    """Return the mean with a percentile bootstrap interval (Efron 1979) over whole clusters, ``RESAMPLES`` times."""
    if not values:
        return _NOTHING
    groups: dict[Hashable, list[float]] = {}
    for key, value in zip(range(len(values)) if clusters is None else clusters, values, strict=True):
        groups.setdefault(key, []).append(float(value))
    sums = np.array([sum(group) for group in groups.values()])
    counts = np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), (2.5, 97.5))
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high), len(values))


_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def identity_hits(region: Tensor, candidates: Tensor) -> Tensor:
    """Return whether the right identity, candidate 0, is strictly the nearest of all.

    Args:
        region: (n, E) of unit length.
        candidates: (n, 16, E), identities of the same class.

    Returns:
        (n,) bool.
    """
    scores = torch.einsum("ne,nce->nc", region, candidates)
    return scores[:, 0] > scores[:, 1:].amax(1)


def draw_distractors(rng: random.Random, count: int, own: int, others: Sequence[int]) -> list[int]:
    """Draw ``count`` of ``others``, without ``own``, as distractors in a gallery."""
    return rng.sample([other for other in others if other != own], count)


def attribute_similarity(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Compare the attributes of two sets of toys, whatever their classes.

    The attributes are four distributions: main, second and accent colour, and pattern. The similarity is the mean over
    them of the Bhattacharyya coefficient, sum(sqrt(p q)): 1 for equal certain answers, 0 for different ones.

    Args:
        a: logits (n, values) per attribute.
        b: logits (m, values) per attribute.

    Returns:
        (n, m) in [0, 1].
    """
    return torch.stack([x.softmax(-1).sqrt() @ y.softmax(-1).sqrt().T for x, y in zip(a, b, strict=True)]).mean(0)


def swapped(similarity: Tensor) -> list[bool]:
    """Return whether each subject's region resembles the photos of another subject more than its own.

    Args:
        similarity: (S, S), row i the region of subject i, column j the photos of subject j.
    """
    own = similarity.diagonal()
    others = similarity.clone().fill_diagonal_(-math.inf)
    return (others.amax(1) > own).tolist()


def body_count(region: np.ndarray) -> int:
    """Return how many separate bodies a region (H, W) bool consists of: connected pieces that are large enough."""
    canvas = Image.fromarray(region.astype(np.uint8)).resize((COARSE, COARSE), Image.Resampling.NEAREST)
    sizes = []
    while (left := np.asarray(canvas) == 1).any():
        y, x = np.unravel_index(int(left.argmax()), left.shape)
        ImageDraw.floodfill(canvas, (int(x), int(y)), 2)
        sizes.append(int(left.sum()) - int((np.asarray(canvas) == 1).sum()))
    least = max(MIN_BODY * COARSE**2, MIN_SHARE * max(sizes, default=0))
    return sum(size >= least for size in sizes)


def peak_inside(heatmap: np.ndarray, region: np.ndarray) -> bool:
    """Whether the peak of a map (h, w) lies in a region (H, W) bool; a flat map has no peak."""
    if float(np.ptp(heatmap)) == 0.0:
        return False
    fine = enlarge(heatmap, (region.shape[1], region.shape[0]))
    return bool(region.reshape(-1)[int(fine.argmax())])


def area_under_curve(heatmap: np.ndarray, region: np.ndarray) -> float:
    """Return the area under the ROC curve of a map (h, w) as a detector of a region (H, W) bool.

    It is the share of pairs, one pixel inside and one outside, in which the one inside is higher (Mann and Whitney
    1947); equal values count half, so that a flat map has 0.5. NaN where the region is empty or everything.
    """
    fine = enlarge(heatmap, (region.shape[1], region.shape[0])).ravel()
    inside = int(region.sum())
    outside = region.size - inside
    if not inside or not outside:
        return math.nan
    ordered = np.sort(fine)
    own = fine[region.ravel()]
    ranks = (np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right") + 1) / 2
    return float((ranks.sum() - inside * (inside + 1) / 2) / (inside * outside))


def iou_curve(heatmap: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return the intersection over union of a region (H, W) and a map (h, w) at each of ``THRESHOLDS``, (T,).

    The map is normalised as for display (``heatmap.normalise``).
    """
    fine = enlarge(normalise(heatmap), (region.shape[1], region.shape[0]))
    return np.array([iou(fine >= threshold, region) for threshold in THRESHOLDS])


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two masks; 0 if both are empty."""
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 0.0


def best_threshold(curves: Sequence[np.ndarray]) -> int:
    """Return the index of the threshold that is best for all maps together."""
    return int(np.mean(curves, axis=0).argmax()) if curves else 0
