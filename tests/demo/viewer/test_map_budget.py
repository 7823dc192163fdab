from __future__ import annotations

from dataclasses import replace

from demo.viewer.map_budget import heads_fit
from mmdiff_core.generation.model_summary import LayerGroup
from tests.helpers.stand_in import StandIn


def test_heads_stay_apart_only_where_they_are_light() -> None:
    small = StandIn().summary()
    assert heads_fit(small, subjects=2, words=6, steps=20)
    large = replace(small, groups=(LayerGroup((64, 64), 8, 5), LayerGroup((32, 32), 8, 5)))
    assert not heads_fit(large, subjects=2, words=6, steps=30)


def test_of_many_pictures_heads_stay_apart_only_where_all_together_are_light() -> None:
    small = StandIn().summary()
    assert heads_fit(small, subjects=2, words=6, steps=20, pictures=9)
    assert not heads_fit(small, subjects=2, words=6, steps=20, pictures=100)
