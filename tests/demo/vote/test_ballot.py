"""What the browser is told of a pair."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from demo.compare.variants import VariantLabel
from demo.vote.pairs import BallotState
from demo.vote.tab import VoteTab
from tests.helpers.votes import finished_comparison


def test_the_page_is_not_told_which_is_which(tab: VoteTab, tmp_path: Path) -> None:
    comparison = finished_comparison([VariantLabel("as_composed"), VariantLabel("without_refiner")], [1], tmp_path)
    shown = tab._show(BallotState(), comparison)
    assert [picture["orig_name"] for picture in shown["pictures"]] == ["left.png", "right.png"]
    assert "refiner" not in json.dumps(shown)
    with Image.open(shown["pictures"][0]["path"]) as picture:
        assert picture.info == {}
    assert (shown["left"], shown["votes"], shown["tally"]) == (1, 0, [])
