"""The page that can be mailed: whole in itself, and its script computes what TokenMaps.at does."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from mmdiff_core.inspection import html_report
from mmdiff_core.inspection.html_report import report_data
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
    assert data["image"].startswith("data:image/png;base64,")


def test_a_prompt_cannot_break_out_of_the_page(traced: Traced) -> None:
    image, maps = traced
    evil = replace(maps, table=replace(maps.table, prompt="</script><script>alert(1)</script>"))
    page = html_report.html_report(image, evil)
    assert "<script>alert" not in page
    assert page.count("</script>") == 2


def _computed(data: dict[str, object], calls: list[tuple[int, int, int | None, str]]) -> list[dict[str, object]]:
    program = (
        SCRIPT.read_text(encoding="utf-8")
        + """
const { data, calls } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const maps = readMaps(data);
const found = calls.map(([word, layer, step, scale]) => mapOf(maps, data.words[word], layer, step, scale));
const plain = found.map((map) => ({ ...map, values: Array.from(map.values), range: rangeOf(map.values) }));
process.stdout.write(JSON.stringify(plain));
"""
    )
    given = json.dumps({"data": data, "calls": calls})
    done = subprocess.run([node(), "--eval", program], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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
