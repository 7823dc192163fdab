"""Layout: toys stand as the caption says, large and well visible."""

from __future__ import annotations

import pytest

from mmdiff_core.toyworld import Scene, make_toy, render
from mmdiff_core.toyworld.scenes.layout import half_width
from tests.helpers.toy_scenes import scenes


@pytest.mark.slow
def test_scenes_honour_the_relation_in_their_caption() -> None:
    seen = set()
    for scene in scenes(800, 4, subjects=2):
        first, second = scene.toys
        for words, true in (
            (" left of ", first.x < second.x),
            (" right of ", first.x > second.x),
            (" in front of ", first.y > second.y),
            (" behind ", first.y < second.y),
        ):
            if words in scene.caption.text:
                seen.add(words)
                assert true, scene.caption.text
    assert len(seen) == 4
    for scene in scenes(200, 5, subjects=3):
        if " between " in scene.caption.text:
            xs = [placed.x for placed in scene.toys]
            assert min(xs[1:]) < xs[0] < max(xs[1:])


@pytest.mark.slow
def test_toys_are_large_and_hardly_hide_each_other() -> None:
    for count, smallest in ((1, 0.06), (2, 0.03), (3, 0.012)):
        drawn = scenes(40, 6, subjects=count)
        together = render(drawn, 48).masks.float().mean((2, 3))
        assert float(together.min()) > smallest
        for i in range(count):
            single = [Scene((s.toys[i],), s.background, s.background_seed, s.tilt, s.caption) for s in drawn]
            shown = together[:, i] / render(single, 48).masks[:, 0].float().mean((1, 2))
            assert float(shown.min()) > 0.4
            assert float(shown.mean()) > 0.9


def test_toys_fit_the_width() -> None:
    for scene in scenes(300, 10):
        for placed in scene.toys:
            assert abs(placed.x) + 0.7 * half_width(placed.toy, placed.yaw) * placed.height < 0.5


def test_a_toy_in_profile_is_as_wide_as_it_is_deep() -> None:
    boat = make_toy("boat", 1)
    assert half_width(boat, 0) == boat.figure.wide
    assert abs(half_width(boat, 90) - boat.figure.deep) < 1e-9
    assert half_width(boat, 0) > half_width(boat, 90)  # its heading shows its side
