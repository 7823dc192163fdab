"""The maps of an inspected prompt: their names, their rows, and what the browser gets of them."""

from __future__ import annotations

import numpy as np
import pytest

from demo.inspect.token_parts import token_record
from demo.viewer.map_encoding import pack_tokens
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.types import GenerateRequest
from tests.helpers import tiny
from tests.helpers.packed_maps import unpacked

REQUEST = GenerateRequest("a cat, on sand", steps=2, width=32, height=32)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenMaps:
    model = tiny.personalizer("sd", tmp_path_factory.mktemp("sd"), with_adapter=False)
    *_, last = model.inspect(REQUEST, TokenRecording(concepts=("dog", "Cat")))
    return last.tokens


def test_everything_of_the_prompt_has_a_name_and_rows(tokens: TokenMaps) -> None:
    record = token_record(tokens)
    named = [(part["kind"], part["name"]) for part in record["parts"]]
    assert named == [
        *(("word", "a"), ("word", "cat"), ("sign", ","), ("word", "on"), ("word", "sand")),
        *(("piece", text) for text in ("s", "and")),
        *(("start", "<start>"), ("end", "<end>"), ("padding", "<padding>"), ("rest", "<rest>")),
        *(("concept", "dog"), ("alone", "Cat")),  # which the prompt has
    ]
    assert named[record["first"]] == ("word", "cat")
    assert record["count"] == 4
    sand = record["parts"][4]["rows"]
    assert [part["rows"] for part in record["parts"] if part["kind"] == "piece"] == [[row] for row in sand]
    rest = next(part["rows"] for part in record["parts"] if part["kind"] == "rest")
    assert sorted([*record["words"], *rest]) == list(range(len(tokens.table.tokens)))


def test_the_browser_gets_the_shares_of_every_row_and_step(tokens: TokenMaps) -> None:
    packed = pack_tokens(tokens)
    assert (packed["steps"], list(packed["kinds"])) == (2, ["words"])
    finest = packed["kinds"]["words"][0]
    layers = [layer for layer, size in tokens.layers.items() if size == (finest["h"], finest["w"])]
    for step in range(2):
        shares = tokens.average(step, layers).numpy()
        np.testing.assert_allclose(unpacked(finest)[step], shares, atol=1 / 255)
    assert pack_tokens(tokens, newest=True)["steps"] == 1
