"""The browser's colour maps against matplotlib's."""

from __future__ import annotations

import re

import matplotlib
import numpy as np
import pytest

from demo.web.static_files import static
from mmdiff_core.maps.heatmap import PALETTE_TABLES


@pytest.mark.parametrize("name", ["viridis", "inferno"])
def test_straight_lines_between_few_colours_are_close_enough(name: str) -> None:
    colours = re.search(rf'{name}:\s*"([^"]+)"', static("viewer/palettes.js"))
    assert colours is not None
    table = np.array([list(bytes.fromhex(colour)) for colour in colours[1].split()])
    at = np.linspace(0, 1, 256)
    ours = np.stack([np.interp(at, np.linspace(0, 1, len(table)), channel) for channel in table.T], axis=1)
    theirs = 255 * matplotlib.colormaps[name](at)[:, :3]
    assert np.abs(ours - theirs).max() < 8  # of 255
    assert colours[1] == PALETTE_TABLES[name]  # the core draws with the same
