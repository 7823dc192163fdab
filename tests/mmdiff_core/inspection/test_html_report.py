"""The page that can be mailed: whole in itself, and its script computes what TokenMaps.at does."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmdiff_core.inspection import html_report
from mmdiff_core.inspection.html_report import report_data
from mmdiff_core.inspection.self_attention import SelfAttention
from mmdiff_core.inspection.token_maps import SCALES, TokenMaps
from tests.helpers.node import node
from tests.helpers.paths import ROOT

Traced = tuple[Image.Image, TokenMaps]
SCRIPT = ROOT / "mmdiff_core" / "inspection" / "html_report.js"


def test_it_is_one_file_that_asks_nobody_for_anything(traced: Traced) -> None:
    page = html_report.html_report(*traced)
    assert "<!-- " not in page
    assert re.findall(r"(?:src|href)=|url\(", page) == []
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["prompt"] == "a cat, a zebra"
    assert "“a cat, a zebra”" in page.partition("<main>")[0]
    assert data["image"].startswith("data:image/png;base64,")


def test_a_prompt_cannot_break_out_of_the_page(traced: Traced) -> None:
    image, maps = traced
    evil = replace(maps, table=replace(maps.table, prompt="</script><script>alert(1)</script>"))
    page = html_report.html_report(image, evil)
    assert "<script>alert" not in page
    assert page.count("</script>") == 2


def _run(program: str, data: dict[str, object], calls: object) -> Any:
    """Return ``plain`` of a program over the report's script, ``data`` and ``calls``."""
    whole = f"""{SCRIPT.read_text(encoding="utf-8")}
const {{ data, calls }} = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
{program}
process.stdout.write(JSON.stringify(plain));
"""
    given = json.dumps({"data": data, "calls": calls})
    done = subprocess.run([node(), "--eval", whole], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _computed(data: dict[str, object], calls: list[tuple[int, int, int | None, str]]) -> list[dict[str, object]]:
    program = """
const maps = readMaps(data);
const found = calls.map(([word, layer, step, scale]) => mapOf(maps, data.words[word], layer, step, scale));
const plain = found.map((map) => ({ ...map, values: Array.from(map.values), range: rangeOf(map.values) }));
"""
    return _run(program, data, calls)


def test_the_script_shows_what_python_says(traced: Traced) -> None:
    image, maps = traced
    data = report_data(image, maps, "share")
    names = [*maps.names.values(), "<start>", "<end>", "<padding>"]
    assert [word["label"] for word in data["words"]] == ["a 1", "cat", "a 2", "zebra", "dog", *names[5:]]
    paths = [list(maps.layers), *[[path] for path in maps.layers]]
    assert len(data["layers"]) == len(paths)
    calls = list(product((1, 3, 4, 5), (0, 1, 3), (None, 2), SCALES))
    for (word, layer, step, scale), shown in zip(calls, _computed(data, calls), strict=True):
        expected = maps.at(names[word], step, paths[layer], scale=scale)
        assert (shown["h"], shown["w"]) == expected.shape
        values = np.array(shown["values"]).reshape(expected.shape)
        assert np.allclose(values, expected, atol=0.03 if scale == "z" else 1e-4)
    shares = np.array(_computed(data, [(1, 0, None, "share")])[0]["values"])
    assert _computed(data, [(1, 0, None, "share")])[0]["range"] == pytest.approx(
        {"low": shares.min(), "high": np.percentile(shares, 99)}
    )


@pytest.mark.parametrize(("height", "width", "shown"), [(3, 4, (3, 4)), (33, 8, (17, 4))])
def test_a_point_looks_where_python_says(traced: Traced, height: int, width: int, shown: tuple[int, int]) -> None:
    image, maps = traced
    drawn = torch.rand(height * width, height * width, generator=torch.Generator().manual_seed(0))
    looks = SelfAttention("mid_block", 2, (height, width), (drawn / drawn.sum(1, keepdim=True)).half())
    data = report_data(image, replace(maps, looks=looks), "share")
    program = "looksFrom({ ...data.looks, numbers: numbersOf(data.looks.weights) }, calls)"
    program = f"const found = {program}; const plain = {{ ...found, values: Array.from(found.values) }};"
    found = _run(program, data, {"x": 0.8, "y": 0.4})
    assert (found["h"], found["w"]) == shown
    assert sum(found["values"]) == pytest.approx(1, abs=0.01)
    if shown == (height, width):
        assert np.allclose(np.reshape(found["values"], shown), looks.looks_from(0.8, 0.4), atol=1e-3)


def test_a_large_recording_is_thinned_out_until_it_can_be_mailed(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, maps = traced
    whole = report_data(image, maps, "z")
    monkeypatch.setattr(html_report, "MAX_BYTES", len(whole["maps"]) // 2)
    small = report_data(image, maps, "z")
    assert whole["steps"] == [0, 1, 2]
    assert small["steps"] == [0, 2]
    assert small["stepsMade"] == 3
    monkeypatch.setattr(html_report, "MAX_SIDE", 8)
    smaller = report_data(image, maps, "z")["layers"]
    assert [(layer["h"], layer["w"]) for layer in smaller[:2]] == [(4, 7), (12, 20)]
