"""The canvas: where shapes are, how soft their edges are, and what they leave alone."""

from __future__ import annotations

import pytest
import torch

from mmdiff_core.toyworld.scenes.canvas import Canvas

WHITE, RED = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


@pytest.fixture
def canvas() -> Canvas:
    return Canvas(40, 40, "cpu")


def covered(canvas: Canvas) -> torch.Tensor:
    """Where red is, (H, W) in [0, 1]."""
    return canvas.image[0]


def test_shapes_outside_the_canvas_leave_it_alone() -> None:
    canvas = Canvas(16, 16, "cpu")
    before = canvas.image.clone()
    canvas.disc(WHITE, (2.0, 0.0), 0.1)
    canvas.box(WHITE, (0.0, -3.0), (0.2, 0.2))
    canvas.triangle(WHITE, WHITE, (-2.0, 0.0), 0.1, 0.1)
    canvas.grid(WHITE, (3.0, 0.0), (0.1, 0.1), (2, 2), 0.5)
    assert torch.equal(canvas.image, before)
    canvas.disc(WHITE, (0.5, 0.0), 0.1)
    assert not torch.equal(canvas.image, before)


def test_a_sky_runs_from_its_top_to_the_horizon(canvas: Canvas) -> None:
    canvas.sky(RED, (0.0, 0.0, 1.0), horizon=0.0)
    column = canvas.image[:, :, 7]
    assert column[:, 0].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert torch.equal(column[:, 20:], torch.tensor([0.0, 0.0, 1.0])[:, None].expand(3, 20))
    assert (column[0].diff() <= 0).all()


def test_ground_begins_at_a_horizon_that_may_wave(canvas: Canvas) -> None:
    canvas.ground(RED, RED, 0.1)
    assert covered(canvas).sum(0).tolist() == pytest.approx([16.0] * 40, abs=0.01)  # 0.4 of 40 pixels
    wavy = Canvas(40, 40, "cpu")
    wavy.ground(RED, RED, 0.1, (0.05, 1.0, 0.0))
    heights = covered(wavy).sum(0)
    assert float(heights.max() - heights.min()) == pytest.approx(0.1 * 40, abs=0.1)


def test_areas_of_shapes(canvas: Canvas) -> None:
    """Antialiased, so that the sum over the pixels is the area."""
    for paint, area in (
        (lambda c: c.disc(RED, (0.03, -0.02), 0.2), 3.1416 * 0.04),
        (lambda c: c.disc(RED, (0.0, 0.0), (0.3, 0.1)), 3.1416 * 0.03),
        (lambda c: c.box(RED, (0.1, 0.1), (0.2, 0.1)), 0.08),
        (lambda c: c.triangle(RED, RED, (0.0, -0.3), 0.2, 0.5), 0.1),
        (lambda c: c.band(RED, -0.1, 0.1), 0.2),
        (lambda c: c.box(RED, (0.0, 0.0), (0.2, 0.2), opacity=0.5), 0.08),
    ):
        fresh = Canvas(200, 200, "cpu")
        paint(fresh)
        assert float(covered(fresh).mean()) == pytest.approx(area, rel=0.03)


def test_a_disc_may_be_cut_off_and_soft(canvas: Canvas) -> None:
    canvas.disc(RED, (0.0, 0.0), 0.3, below=0.0)
    assert float(covered(canvas)[:20].sum()) > 50 * float(covered(canvas)[22:].sum() + 0.01)
    soft = Canvas(40, 40, "cpu")
    soft.disc(RED, (0.0, 0.0), 0.2, soft=0.3)
    edge = covered(soft)[20]
    assert ((edge > 0.05) & (edge < 0.95)).sum() > 8


def test_the_two_sides_of_a_peak_have_their_own_colours(canvas: Canvas) -> None:
    canvas.triangle(RED, (0.0, 1.0, 0.0), (0.0, -0.2), 0.3, 0.5)
    assert canvas.image[:, 28, 14].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert canvas.image[:, 28, 25].tolist() == pytest.approx([0, 1, 0], abs=0.01)


def test_windows_are_counted(canvas: Canvas) -> None:
    fresh = Canvas(240, 240, "cpu")
    fresh.grid(RED, (0.0, 0.0), (0.4, 0.2), (4, 2), 0.5)
    lit = covered(fresh) > 0.5
    assert (lit[lit.any(1)][0].int().diff() == 1).sum() == 4
    assert (lit[:, lit.any(0)][:, 0].int().diff() == 1).sum() == 2


def test_chequers_cover_half_of_the_floor() -> None:
    fresh = Canvas(120, 120, "cpu")
    fresh.chequers(RED, 0.0, -0.2, 0.3)
    floor = covered(fresh)[61:]
    assert float(covered(fresh)[:59].sum()) == 0
    assert float(floor.mean()) == pytest.approx(0.5, abs=0.05)
    assert len(floor[40].round().diff().nonzero()) < len(floor[5].round().diff().nonzero())  # tiles grow towards us


def test_longer_canvases_keep_the_unit_of_the_shorter_side() -> None:
    wide, square = Canvas(20, 40, "cpu"), Canvas(20, 20, "cpu")
    for canvas in (wide, square):
        canvas.disc(RED, (0.1, 0.1), 0.2)
    assert torch.equal(wide.image[:, :, 10:30], square.image)
