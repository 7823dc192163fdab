"""The showcase, with a tiny model in place of the built-in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mmdiff_core.cli import showcase
from mmdiff_core.cli.main import BAD_INPUT, main
from mmdiff_core.output.image_grid import GAP


def test_a_row_for_each_prompt(toybox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = showcase.ShowcaseRow("a cat on the beach", (("cat", 5),))
    monkeypatch.setattr(showcase, "ROWS", (row, row))
    out = tmp_path / "new" / "showcase.png"
    assert main(["showcase", "--model", str(toybox), "--images", "1", "--out", str(out)]) == 0
    with Image.open(out) as grid:
        assert grid.size == (4 * (showcase.SIDE + GAP), 2 * (showcase.SIDE + GAP))  # two photos, an image, its heatmap
        below = showcase.SIDE + GAP
        top, bottom = grid.crop((0, 0, 700, showcase.SIDE)), grid.crop((0, below, 700, below + showcase.SIDE))
        assert top.tobytes() == bottom.tobytes()


def test_at_least_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["showcase", "--images", "0", "--out", str(tmp_path / "x.png")]) == BAD_INPUT
    assert "--images must be at least 1" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
