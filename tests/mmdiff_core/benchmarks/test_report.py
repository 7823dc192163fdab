"""The files of a benchmark: ratios, a table and a chart of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from mmdiff_core.benchmarks.report import (
    ALSO,
    SHOWN,
    TITLES,
    describe_machine,
    speed_markdown,
    summary,
    write_benchmark,
)
from tests.helpers.markdown import cells

MACHINE = {"device": "a machine", "threads": 1, "torch": "2", "clock": "wall"}
FIGURES = {
    "picture_s": [1.0, 3.0, 2.0],
    "peak_memory_mb": [800.0],
    "training": {
        "joint": {
            "samples_per_s": [10.0, 12.0],
            "plain_samples_per_s": [5.0, 5.5],
            "ratio": {"median": 2.1, "low": 2.0, "high": 2.2},
            "matrix_share": 0.614,
        }
    },
}


@pytest.fixture
def steps() -> dict[str, Any]:
    """Each method takes a quarter more than the one before."""
    names = (*SHOWN, *ALSO)
    samples = {name: [1 + 0.25 * k, 2 * (1 + 0.25 * k)] for k, name in enumerate(names)}
    return {"tiny": summary(samples)}


def test_a_summary_has_ratios_intervals_and_seconds(steps: dict[str, Any]) -> None:
    tiny = steps["tiny"]
    assert [tiny[name] for name in SHOWN] == pytest.approx([1 + 0.25 * k for k in range(len(SHOWN))])
    assert tiny["more"].keys() == set(ALSO)
    assert tiny["intervals"]["ours"] == pytest.approx([1.25, 1.25])  # the same in both rounds
    assert tiny["samples"]["stock"] == [1.0, 2.0]


def test_the_table_has_a_row_per_method_and_the_other_figures(steps: dict[str, Any]) -> None:
    table = speed_markdown(steps, {"tiny": "a UNet for tests"}, {"machine": MACHINE, "figures": FIGURES})
    rows = cells(table)
    assert [row[0] for row in rows if row[0] in TITLES.values()] == list(TITLES.values())
    assert ["ours, two subjects", "1.250 (1.250 to 1.250)"] in rows
    assert ["the stock step itself", "1.5 s"] in rows
    assert "* tiny: a UNet for tests" in table
    assert ["an image at the app's defaults, s", "2", "1", "3"] in rows
    assert ["joint", "11", "5.25", "2.10 (2.00 to 2.20)", "61 %"] in rows


def test_a_table_without_models_or_figures() -> None:
    assert "a machine" in speed_markdown({}, {}, {"machine": MACHINE, "figures": {}})


def test_all_files_are_written(steps: dict[str, Any], tmp_path: Path) -> None:
    about = {"machine": MACHINE, "figures": FIGURES}
    files = write_benchmark(tmp_path, steps, {"tiny": "a UNet for tests"}, about)
    assert [file.name for file in files] == ["speed.json", "about.json", "speed.md", "speed.png"]
    assert json.loads(files[0].read_text()) == json.loads(json.dumps(steps))
    assert json.loads(files[1].read_text()) == about
    with Image.open(files[3]) as chart:
        assert chart.width > 800
    assert len(write_benchmark(tmp_path, {}, {}, about)) == 3  # nothing to draw


def test_the_machine_is_described() -> None:
    described = describe_machine(torch.device("cpu"), "cpu")
    assert "logical cores" in described["device"]
    assert described["threads"] == torch.get_num_threads()
    assert described["clock"] == "processor time of the process"
