"""The measures against values worked out by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch

from mmdiff_core.referee.metrics import (
    THRESHOLDS,
    area_under_curve,
    attribute_similarity,
    average,
    best_threshold,
    body_count,
    draw_distractors,
    identity_hits,
    iou,
    iou_curve,
    peak_inside,
    proportion,
    swapped,
)


def test_wilson_interval() -> None:
    """8 of 10: (0.8 + z2/20) / (1 + z2/10) -+ 1.96/(1 + z2/10) sqrt(0.016 + z2/400), z2 = 3.8415."""
    found = proportion([True] * 8 + [False] * 2)
    assert (found.mean, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_counts_prompts_not_pictures() -> None:
    """Two pictures of each of 10 prompts are 20 cases, but no more certain than 10."""
    hits, prompts = [True, True] * 8 + [False, False] * 2, [k // 2 for k in range(20)]
    found, single = proportion(hits, prompts), proportion(hits[::2])
    assert found.n == 20
    assert (found.mean, found.low, found.high) == (single.mean, single.low, single.high)


@pytest.mark.parametrize(("hit", "low", "high"), [(True, 0.7225, 1.0), (False, 0.0, 0.2775)])
def test_wilson_at_the_ends(hit: bool, low: float, high: float) -> None:
    """All of 10: the lower end is 1 / (1 + z2/10)."""
    found = proportion([hit] * 10)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_bootstrap_draws_whole_prompts() -> None:
    """Prompt a has three 0s, b a single 1: resamples aa, ab, ba, bb have means 0, 1/4, 1/4, 1."""
    found = average([0, 0, 0, 1], ["a", "a", "a", "b"])
    assert (found.mean, found.low, found.high, found.n) == (0.25, 0.0, 1.0, 4)
    same = average([0.3] * 5)
    assert (same.low, same.high) == pytest.approx((0.3, 0.3))


def test_bootstrap_of_many_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.1, 400)
    found = average(values.tolist())
    half = 1.96 * values.std() / math.sqrt(400)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.0015)


def test_nothing_measured() -> None:
    assert proportion([]).n == average([]).n == 0
    assert math.isnan(proportion([]).mean)


def test_identity_is_the_nearest_of_the_line_up() -> None:
    line = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    regions = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.7071, 0.7071]])  # nearest: first, second, a draw
    assert identity_hits(regions, line.expand(3, 3, 2)).tolist() == [True, False, False]


def test_rivals_are_others_and_different() -> None:
    distractors = draw_distractors(random.Random(0), 15, 3, range(20))
    assert len(set(distractors)) == 15
    assert 3 not in distractors


def test_look_similarity() -> None:
    """Two attributes; sure and equal is 1, sure and different 0, sure against even odds sqrt(1/2)."""
    sure, other, even = ([20.0, -20.0], [-20.0, 20.0], [0.0, 0.0])
    a = [torch.tensor([sure]), torch.tensor([sure])]
    b = [torch.tensor([sure, other, even]), torch.tensor([sure, other, sure])]
    assert attribute_similarity(a, b)[0].tolist() == pytest.approx([1.0, 0.0, (1 + math.sqrt(0.5)) / 2], abs=1e-4)


def test_swapped_says_which_subject_took_anothers_look() -> None:
    assert swapped(torch.tensor([[0.9, 0.1], [0.2, 0.8]])) == [False, False]
    assert swapped(torch.tensor([[0.1, 0.9], [0.8, 0.2]])) == [True, True]
    assert swapped(torch.tensor([[0.9, 0.1, 0.3], [0.7, 0.6, 0.1], [0.2, 0.2, 0.2]])) == [False, True, False]


def test_bodies_are_counted_without_crumbs() -> None:
    region = np.zeros((96, 192), dtype=bool)
    assert body_count(region) == 0
    region[20:80, 10:70] = True
    assert body_count(region) == 1
    region[2:6, 100:104] = True  # a crumb
    assert body_count(region) == 1
    region[30:80, 120:170] = True
    assert body_count(region) == 2
    region[50:60, 70:120] = True  # joins both
    assert body_count(region) == 1


def test_peak_is_looked_up_in_the_pictures_own_grid() -> None:
    region = np.zeros((8, 8), dtype=bool)
    region[:4, 4:] = True  # upper right
    assert peak_inside(np.array([[0.0, 1.0], [0.0, 0.0]]), region)
    assert not peak_inside(np.array([[0.0, 0.0], [0.0, 1.0]]), region)
    assert not peak_inside(np.ones((2, 2)), region)


def test_iou() -> None:
    a, b = np.array([[1, 1, 0, 0]], dtype=bool), np.array([[0, 1, 1, 0]], dtype=bool)
    assert iou(a, b) == pytest.approx(1 / 3)
    assert iou(a & b & ~a, b & ~b) == 0.0


def test_area_under_the_curve_is_the_share_of_pairs() -> None:
    """Compared pair by pair: equal values count half."""
    heatmap = np.array([[1.0, 3.0, 0.0], [1.0, 2.0, 2.0]], dtype=np.float32)
    region = np.array([[True, True, False], [False, False, True]])
    pairs = [(a > b) + 0.5 * (a == b) for a in heatmap[region] for b in heatmap[~region]]
    assert area_under_curve(heatmap, region) == pytest.approx(np.mean(pairs))
    assert area_under_curve(region.astype(np.float32), region) == 1.0
    assert area_under_curve(-region.astype(np.float32), region) == 0.0
    assert area_under_curve(np.ones((2, 3), dtype=np.float32), region) == 0.5
    assert np.isnan(area_under_curve(heatmap, np.zeros_like(region)))


def test_iou_curve_and_the_one_threshold() -> None:
    """A map of four columns 0, 1/3, 2/3, 1 (no enlarging): above t are 3, 2, then 1 of them; the region is the last."""
    heatmap = np.tile(np.array([0.0, 1 / 3, 2 / 3, 1.0], dtype=np.float32), (4, 1))
    region = np.zeros((4, 4), dtype=bool)
    region[:, 3] = True
    curve = dict(zip(THRESHOLDS, iou_curve(heatmap, region), strict=True))
    assert (curve[0.3], curve[0.5], curve[0.7]) == pytest.approx((1 / 3, 1 / 2, 1.0))
    flat = np.where(np.array(THRESHOLDS) < 0.2, 0.9, 0.5)  # another map that likes low thresholds
    assert THRESHOLDS[best_threshold([np.array(list(curve.values())), flat])] == 0.7
    assert THRESHOLDS[best_threshold([flat])] == 0.05
