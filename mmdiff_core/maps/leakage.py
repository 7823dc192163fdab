"""Does each subject's attention stay on that subject? The maps of one image, put into numbers.

Attention of one subject that lies on another carries the first one's looks there: attributes leak. S subjects, maps of
h x w.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmdiff_core.maps.heatmap import normalise

if TYPE_CHECKING:
    from mmdiff_core.maps.attention_maps import AttentionMaps
    from mmdiff_core.types import MapKind

Floats = NDArray[np.float64]
THRESHOLD = 0.5  # of a map's own range, from its lowest value to its 99th percentile
_PERCENTILE = 99.0  # keeps one bright pixel from counting
# The attention that a pixel pays to a subject's photos. Where the built-in model drew a subject, the 99th percentile of
# its image map was at least 0.72 (52 maps; of known words 0.92). Its first weights, at 96 pixels: at least 0.52
# (219 maps), and at most 0.19 where they drew the other subject twice (3). Unknown words alone do not show in the maps.
STANDS_OUT = 0.3


@dataclass(frozen=True)
class Leakage:
    """How well S subjects are kept apart in one image.

    Attributes:
        regions: (S, h, w) bool. Subject i's region is where its map, scaled to its own range, is at least the
            threshold and higher than every other subject's scaled map. Regions never overlap.
        shares: (S, S). Row i, column j: the part of subject i's attention, the sum of its map, that falls into
            subject j's region. A row sums to at most 1; the rest lies elsewhere. A map of zeros gives zeros.
        coverage: (S,). The part of the image that a subject's region takes.
        overlap: (S, S). Sum of the lower over sum of the higher of two scaled maps: 1 for equal maps, 0 for maps
            that share no pixel, 0 where a map is flat.
        peaks: (S, 2). Row and column of each map's highest value in fractions of height and width, at pixel centres.
        distances: (S, S). Between two peaks, in fractions of the image's diagonal.
        flat: (S,) bool. The map is even all over, so that it points nowhere and has no region.
        absent: (S,) bool. The subject's image map stands out nowhere: the subject is not in the image, and its other
            maps are not about it.
    """

    regions: NDArray[np.bool_]
    shares: Floats
    coverage: Floats
    overlap: Floats
    peaks: Floats
    distances: Floats
    flat: NDArray[np.bool_]
    absent: NDArray[np.bool_]

    @property
    def elsewhere(self) -> Floats:
        """Return the part of each subject's attention that lies in no region, (S,)."""
        inside: Floats = self.shares.sum(1)
        return 1 - inside

    @property
    def leaks(self) -> tuple[tuple[int, int], ...]:
        """Return pairs (i, j), worst first: more of i's attention lies on j than if it were spread evenly."""
        found = [(float(self.shares[i, j]), i, j) for i, j in np.argwhere(self.shares > self.coverage) if i != j]
        return tuple((int(i), int(j)) for _, i, j in sorted(found, reverse=True))


def leakage_of(maps: np.ndarray, threshold: float = THRESHOLD) -> Leakage:
    """Measure the maps of one image.

    Args:
        maps: (S, h, w), never negative, any range.
        threshold: of each map's own range, above 0 and at most 1.

    Raises:
        ValueError: the maps have another shape, a negative value or one that is not a number, or the threshold is
            out of range.
    """
    maps = np.asarray(maps, dtype=np.float64)
    if maps.ndim != 3 or not maps.size:
        raise ValueError(f"The maps must be (subjects, height, width), not of shape {maps.shape}.")
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise ValueError("The maps must be numbers that are never negative.")
    if not 0 < threshold <= 1:
        raise ValueError(f"The threshold must be above 0 and at most 1, not {threshold}.")
    scaled = np.stack([normalise(values) for values in maps])
    regions = _regions(scaled, threshold)
    peaks = _peaks(maps)
    return Leakage(
        regions=regions,
        shares=_shares(maps, regions),
        coverage=regions.mean((1, 2)),
        overlap=_overlap(scaled),
        peaks=peaks,
        distances=_distances(peaks, maps.shape[1:]),
        flat=np.logical_not(scaled.any((1, 2))),
        absent=np.zeros(len(maps), dtype=bool),  # only image maps tell
    )


def subject_leakage(maps: AttentionMaps, kind: MapKind = "image", threshold: float = THRESHOLD) -> Leakage:
    """Measure a finished image's maps of one kind, averaged over steps and layers.

    Raises:
        KeyError: nothing was recorded.
    """
    return replace(leakage_of(_stacked(maps, kind), threshold), absent=_absent(maps))


def _stacked(maps: AttentionMaps, kind: MapKind) -> Floats:
    """Return (S, h, w), averaged over steps and layers."""
    return np.stack([maps.at(i, kind) for i in range(len(maps.subjects))]).astype(np.float64)


def _absent(maps: AttentionMaps) -> NDArray[np.bool_]:
    """Return whose image map stands out nowhere, (S,); nobody's where none was recorded."""
    if "image" not in maps.kinds:
        return np.zeros(len(maps.subjects), dtype=bool)
    low: NDArray[np.bool_] = np.percentile(_stacked(maps, "image"), _PERCENTILE, axis=(1, 2)) < STANDS_OUT
    return low


def _regions(scaled: np.ndarray, threshold: float) -> NDArray[np.bool_]:
    """Return where each scaled map is the highest; a pixel where two maps tie belongs to neither."""
    high: NDArray[np.bool_] = scaled == scaled.max(0)
    alone: NDArray[np.bool_] = high & (high.sum(0) == 1) & (scaled >= threshold)
    return alone


def _shares(maps: Floats, regions: NDArray[np.bool_]) -> Floats:
    inside: Floats = np.einsum("ihw,jhw->ij", maps, regions)
    totals = maps.sum((1, 2))[:, None]
    shares: Floats = np.divide(inside, totals, out=np.zeros_like(inside), where=totals > 0)
    return shares


def _overlap(scaled: np.ndarray) -> Floats:
    lower: Floats = np.minimum(scaled[:, None], scaled[None]).sum((2, 3), dtype=np.float64)
    higher = np.maximum(scaled[:, None], scaled[None]).sum((2, 3), dtype=np.float64)
    ratio: Floats = np.divide(lower, higher, out=np.zeros_like(lower), where=higher > 0)
    return ratio


def _peaks(maps: Floats) -> Floats:
    height, width = maps.shape[1:]
    rows, columns = np.divmod(maps.reshape(len(maps), -1).argmax(1), width)
    return np.stack([(rows + 0.5) / height, (columns + 0.5) / width], axis=1)


def _distances(peaks: Floats, size: tuple[int, ...]) -> Floats:
    """Return the distances of the peaks; a map's pixels are square, so that its sides stand for the image's."""
    pixels = peaks * np.array(size)
    lengths: Floats = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
    return lengths / float(np.hypot(size[0], size[1]))
