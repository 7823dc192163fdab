"""One value, asked in several ways."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.errors import PromptError, SettingsError
from mmdiff_core.inspection.token_maps import SCALES, TokenMaps, TokenStep
from mmdiff_core.inspection.token_table import read_tokens
from tests.helpers import tiny

CAT, DOG, ROBOT = 2, 3, 6  # rows: start, a, cat, dog, end, padding, robot (a concept)


def _shares(seed: int, *size: int) -> torch.Tensor:
    """Return six rows that add up to one, and a concept's."""
    drawn = torch.rand(6, *size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([drawn / drawn.sum(0), drawn[:1] / 2]).half()


@pytest.fixture
def maps() -> TokenMaps:
    records = [
        TokenStep(step, layer, _shares(10 * step + h, h, w))
        for step in (0, 1)
        for layer, h, w in (("a", 2, 3), ("b", 4, 6))
    ]
    return TokenMaps(read_tokens(tiny.tokenizer(), "a cat dog"), ("robot",), tuple(records), steps_made=2)


def test_what_there_is(maps: TokenMaps) -> None:
    assert maps.steps == (0, 1)
    assert maps.layers == {"a": (2, 3), "b": (4, 6)}
    assert maps.size == (4, 6)
    assert maps.heads == {}
    assert maps.nbytes == 2 * 2 * 7 * (6 + 24)
    assert [word.text for word in maps.words] == ["a", "cat", "dog"]


def test_one_step_and_layer_is_what_was_recorded(maps: TokenMaps) -> None:
    assert np.array_equal(maps.at("cat", 1, "a"), maps.records[2].shares[CAT].float())
    assert np.array_equal(maps.at(CAT, 1, "a"), maps.at("cat", 1, "a"))
    assert np.array_equal(maps.at(maps.words[1], 1, "a"), maps.at("cat", 1, "a"))
    assert np.array_equal(maps.at("robot", 0, "b"), maps.records[1].shares[ROBOT].float())


def test_steps_and_layers_left_open_are_averaged(maps: TokenMaps) -> None:
    assert np.allclose(maps.at("cat", layer="b"), (maps.at("cat", 0, "b") + maps.at("cat", 1, "b")) / 2)
    assert np.allclose(maps.at("cat", (0, 1), ("b",)), maps.at("cat", layer="b"))
    both = maps.at("cat", 0)
    coarse = torch.nn.functional.interpolate(torch.tensor(maps.at("cat", 0, "a"))[None, None], (4, 6), mode="bilinear")
    assert np.allclose(both, (coarse[0, 0].numpy() + maps.at("cat", 0, "b")) / 2)


def test_scales(maps: TokenMaps) -> None:
    share = {word.text: maps.at(word) for word in maps.words}
    words = sum(share.values())
    assert np.allclose(words + maps.at("<rest>"), 1, atol=2e-3)
    assert np.allclose(maps.at("cat", scale="among_words"), share["cat"] / words, atol=1e-5)
    assert np.allclose(sum(maps.at(word, scale="among_words") for word in maps.words), 1, atol=1e-5)
    start = maps.at("<start>")
    assert np.allclose(maps.at("<start>", scale="among_words"), start / (words + start), atol=1e-5)  # beside the words
    assert all(maps.at(name, scale="among_words").max() <= 1 for name in ("<start>", "<end>", "<padding>", "<rest>"))
    assert np.allclose(maps.at("cat", scale="contrast"), share["cat"] - words / 3, atol=1e-6)
    assert np.allclose(sum(maps.at(word, scale="contrast") for word in maps.words), 0, atol=1e-6)
    z = maps.at("cat", scale="z")
    assert np.allclose((z.mean(), z.std()), (0, 1), atol=1e-5)
    flat = replace(maps, records=(replace(maps.records[0], shares=torch.full((7, 2, 3), 0.25).half()),))
    assert not flat.at("cat", scale="z").any()


def test_heads() -> None:
    records = (TokenStep(0, "a", _shares(0, 5, 2, 3)),)
    maps = TokenMaps(read_tokens(tiny.tokenizer(), "a cat dog"), ("robot",), records)
    assert maps.heads == {"a": 5}
    assert np.array_equal(maps.at("cat", head=4), records[0].shares[CAT, 4].float())
    assert np.allclose(maps.at("cat"), records[0].shares[CAT].float().mean(0))
    with pytest.raises(SettingsError, match="the heads 0 to 4, but not 5"):
        maps.at("cat", head=5)


def test_what_is_not_there_is_said(maps: TokenMaps) -> None:
    with pytest.raises(PromptError, match=r'no map of "zebra": the words of the prompt are "a", "cat", "dog"'):
        maps.at("zebra")
    with pytest.raises(PromptError, match="no row 6: the prompt has 6 rows"):
        maps.at(6)
    with pytest.raises(SettingsError, match="no step 7: there are 0, 1"):
        maps.at("cat", step=(0, 7))
    with pytest.raises(SettingsError, match="no layer c: there are a, b"):
        maps.at("cat", layer="c")
    with pytest.raises(SettingsError, match="record them with per_head=True"):
        maps.at("cat", head=0)
    with pytest.raises(SettingsError, match=f'no scale "log": choose one of {", ".join(SCALES)}'):
        maps.at("cat", scale="log")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="Nothing was recorded yet"):
        replace(maps, records=()).at("cat")


def test_the_file_has_every_map_and_says_what_it_is(maps: TokenMaps, tmp_path: Path) -> None:
    maps.to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as file:
        assert str(file["prompt"]) == "a cat dog"
        assert file["rows"].tolist() == ["<start>", "a", "cat", "dog", "<end>", "<padding>", "robot"]
        assert file["kinds"].tolist() == ["start", "word", "word", "word", "end", "padding", "concept"]
        assert file["characters"][CAT].tolist() == [2, 5]
        assert file["characters"][ROBOT].tolist() == [-1, -1]
        assert file["steps"].tolist() == [0, 1]
        assert file["shares/b"].shape == (2, 7, 4, 6)
        assert np.array_equal(file["shares/b"][1, DOG], maps.records[3].shares[DOG])
