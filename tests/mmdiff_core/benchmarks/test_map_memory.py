"""Counted memory against a count by hand."""

from __future__ import annotations

from mmdiff_core.benchmarks.map_memory import count_map_memory, memory_markdown
from mmdiff_core.inspection.memory_budget import read_bytes
from tests.helpers.markdown import cells


def test_full_memory_of_stable_diffusion_by_hand() -> None:
    """Five layers each of 64, 32 and 16 pixels a side and one of 8, 77 tokens, 30 steps, two bytes a value."""
    found = {(one.model, one.recorded): one for one in count_map_memory()}
    pixels = 5 * (64**2 + 32**2 + 16**2) + 8**2
    assert found["sd15", "all tokens"].full == pixels * 77 * 30 * 2
    assert found["sd15", "all tokens, heads apart"].full == 8 * pixels * 77 * 30 * 2


def test_the_budget_is_held_and_what_it_costs_is_told() -> None:
    for one in count_map_memory():
        assert one.kept <= read_bytes("200MB")
        assert bool(one.dropped) == (one.kept < one.full)
        assert one.kept <= one.full
    assert len(cells(memory_markdown(count_map_memory()))) == 2 + 6
