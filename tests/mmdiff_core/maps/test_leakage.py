"""Every number is worked out by hand on maps of two by four pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.leakage import leakage_of, subject_leakage

CAT = [[8, 2, 0, 0], [8, 2, 0, 0]]
ROBOT = [[0, 0, 2, 8], [3, 3, 2, 2]]


def test_shares_coverage_and_rest() -> None:
    binding = leakage_of(np.array([CAT, ROBOT]))
    # Half of a map's range: the cat's region is its left column. The 99th percentile of the robot's eight values
    # lies 93 % of the way from 3 to 8, at 7.65, so that only the 8 is above half of it.
    assert binding.regions[0].tolist() == [[True, False, False, False]] * 2
    assert binding.regions[1].tolist() == [[False, False, False, True], [False] * 4]
    np.testing.assert_allclose(binding.shares, [[16 / 20, 0], [3 / 20, 8 / 20]])
    np.testing.assert_allclose(binding.elsewhere, [4 / 20, 9 / 20])
    np.testing.assert_allclose(binding.coverage, [2 / 8, 1 / 8])
    assert binding.leaks == ()  # 15 % of the robot's attention lies on the cat, less than the 25 % that the cat takes


def test_a_leak_is_more_than_even_spread() -> None:
    leaking = [[0, 0, 0, 9], [7, 0, 0, 9]]
    binding = leakage_of(np.array([[[9, 0, 0, 0], [9, 0, 0, 0]], leaking]))
    np.testing.assert_allclose(binding.shares[1], [7 / 25, 18 / 25])
    assert binding.coverage[0] == 0.25
    assert binding.leaks == ((1, 0),)


def test_peaks_and_their_distance() -> None:
    binding = leakage_of(np.array([CAT, ROBOT]))
    np.testing.assert_allclose(binding.peaks, [[0.25, 0.125], [0.25, 0.875]])
    np.testing.assert_allclose(binding.distances, [[0, 3 / 20**0.5], [3 / 20**0.5, 0]])


def test_overlap_of_scaled_maps() -> None:
    one, two = np.zeros((2, 10, 10))
    one[:5] = 4.0
    two[3:8] = 0.5  # two of the eight rows that either takes are shared, whatever the range
    np.testing.assert_allclose(leakage_of(np.stack([one, two])).overlap, [[1, 2 / 8], [2 / 8, 1]])


def test_equal_maps_belong_to_nobody() -> None:
    binding = leakage_of(np.array([CAT, CAT]))
    assert not binding.regions.any()
    assert binding.overlap.tolist() == [[1, 1], [1, 1]]
    assert not binding.flat.any()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_flat_map_points_nowhere(value: float) -> None:
    binding = leakage_of(np.array([CAT, np.full((2, 4), value)]))
    assert binding.flat.tolist() == [False, True]
    assert binding.coverage[1] == 0
    assert binding.overlap[0, 1] == 0
    assert np.isfinite(binding.shares).all()


def test_recorded_maps_are_averaged_over_steps() -> None:
    first, second = torch.tensor([CAT, ROBOT]).half(), torch.tensor([ROBOT, CAT]).half()
    records = tuple(StepMaps(step, "mid", (2, 4), {"text": maps}) for step, maps in enumerate((first, second)))
    binding = subject_leakage(AttentionMaps(("cat", "robot"), records), "text")
    mean = (np.array(CAT) + np.array(ROBOT)) / 2
    np.testing.assert_allclose(binding.shares, leakage_of(np.stack([mean, mean])).shares)


@pytest.mark.parametrize(
    ("maps", "threshold", "says"),
    [
        (np.ones((2, 3)), 0.5, "shape"),
        (np.full((1, 2, 2), -1.0), 0.5, "never negative"),
        (np.full((1, 2, 2), np.nan), 0.5, "never negative"),
        (np.ones((1, 2, 2)), 0.0, "threshold"),
    ],
)
def test_what_cannot_be_measured_is_said(maps: np.ndarray, threshold: float, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        leakage_of(maps, threshold)


@pytest.mark.parametrize(("peak", "absent"), [(0.19, True), (0.52, False)])
def test_a_subject_is_absent_where_its_photos_are_looked_at_nowhere(peak: float, absent: bool) -> None:
    """Whatever kind of map is measured: the word of an absent subject may stand out, on another one."""
    first, second = torch.zeros(8, 8), torch.zeros(8, 8)
    first[:, :4], second[:, 4:] = 0.9, peak
    photos, words = torch.stack([first, second]).half(), torch.stack([first, first.flip(1)]).half()
    maps = AttentionMaps(("cat", "man"), (StepMaps(0, "mid", (8, 8), {"image": photos, "text": words}),))
    for kind in ("image", "text"):
        assert subject_leakage(maps, kind).absent.tolist() == [False, absent]  # type: ignore[arg-type]
    no_photos = AttentionMaps(("cat", "man"), (StepMaps(0, "mid", (8, 8), {"text": words}),))
    assert not subject_leakage(no_photos, "text").absent.any()
