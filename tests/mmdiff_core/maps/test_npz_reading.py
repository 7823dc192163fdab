"""Maps that are read again are those that were written; what anybody else wrote is refused before it costs memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdiff_core.encoders.prompt import other_words
from mmdiff_core.errors import SettingsError
from mmdiff_core.inspection.token_maps import TokenMaps, TokenStep
from mmdiff_core.inspection.token_table import PromptToken, TokenTable
from mmdiff_core.maps import npz_reading
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.npz_reading import read_npz

SIZES = {"down": (8, 12), "mid": (4, 6)}


def _subject_maps(heads: bool) -> AttentionMaps:
    """Two subjects and a word in two layers; the first step has no image term."""
    draw = torch.Generator().manual_seed(0)
    records = []
    for step in (0, 1, 2):
        for layer, size in SIZES.items():
            shape = (2, *size) if heads else size
            kinds = {kind: torch.rand(2, *shape, generator=draw).half() for kind in ("text", "image")[: 1 + (step > 0)]}
            records.append(StepMaps(step, layer, size, kinds | {"words": torch.rand(1, *shape, generator=draw).half()}))
    return AttentionMaps(("cat", "robot"), tuple(records), ("beach",))


def _token_maps() -> TokenMaps:
    tokens = (
        PromptToken("start", "<start>", (0,)),
        PromptToken("word", "a", (1,), (0, 1)),
        PromptToken("word", "cat", (2,), (2, 5)),
        PromptToken("end", "<end>", (3,)),
    )
    table = TokenTable("a cat", 4, tokens, other_words("a cat", ()))
    draw = torch.Generator().manual_seed(0)
    records = tuple(
        TokenStep(step, layer, torch.rand(5, *size, generator=draw).half())
        for step in (0, 2)
        for layer, size in SIZES.items()
    )
    return TokenMaps(table, ("dog",), records, 3)


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("heads", [False, True])
def test_maps_of_subjects_come_back(tmp_path: Path, heads: bool) -> None:
    maps, path = _subject_maps(heads), tmp_path / "maps.npz"
    maps.to_npz(path)
    again = AttentionMaps.from_npz(path)
    assert (again.subjects, again.others, again.steps, again.layers) == (maps.subjects, maps.others, (0, 1, 2), SIZES)
    assert AttentionMaps.from_npz(path.read_bytes()).kinds == maps.kinds == again.kinds
    for ours, theirs in zip(maps.records, again.records, strict=True):
        assert (ours.step, ours.layer, list(ours.kinds)) == (theirs.step, theirs.layer, list(theirs.kinds))
        assert all(torch.equal(ours.kinds[kind], theirs.kinds[kind]) for kind in ours.kinds)


def test_maps_of_tokens_come_back(tmp_path: Path) -> None:
    maps = _token_maps()
    maps.to_npz(tmp_path / "maps.npz")
    again = TokenMaps.from_npz(tmp_path / "maps.npz")
    assert (again.prompt, again.words, again.concepts, again.steps) == ("a cat", maps.words, ("dog",), (0, 2))
    assert list(again.names) == list(maps.names)
    for name in ("cat", "dog", "<end>", "<rest>"):
        assert np.array_equal(again.at(name, scale="contrast"), maps.at(name, scale="contrast"))


@pytest.mark.parametrize("side", [32, 5])
def test_averages_are_those_of_all_steps_and_layers(side: int) -> None:
    subjects, tokens = _subject_maps(heads=True), _token_maps()
    small, tiny = subjects.averaged(side), tokens.averaged(side)
    assert small.size == tiny.size == ((8, 12) if side == 32 else (3, 4))
    if side == 32:
        assert np.allclose(small.at("robot", "image"), subjects.at("robot", "image"), atol=1e-3)
        assert np.allclose(small.at("beach", "words"), subjects.at("beach", "words"), atol=1e-3)
        assert np.allclose(tiny.at("dog"), tokens.at("dog"), atol=1e-3)
    assert small.at("cat", "text").mean() == pytest.approx(subjects.at("cat", "text").mean(), abs=0.02)
    assert AttentionMaps(("cat",)).averaged(side).records == ()


def _forged(name: str = "steps", shape: tuple[int, ...] = (2**40,)) -> bytes:
    """An array whose header claims a terabyte."""
    array, buffer = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<f2", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(f"{name}.npy", array.getvalue() + b"\0" * 8)
    return buffer.getvalue()


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, steps=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", _forged(), _pickled(), _npz(steps=np.arange(2))[:-30]], ids=lambda data: str(len(data))
)
def test_what_is_no_npz_of_ours_is_refused(data: bytes) -> None:
    for read in (read_npz, AttentionMaps.from_npz, TokenMaps.from_npz):
        with pytest.raises(SettingsError, match="no maps that this program wrote"):
            read(data)


def test_a_large_one_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz_reading, "MAX_BYTES", 2**20)
    with pytest.raises(SettingsError, match="more than 1 MB"):
        read_npz(_npz(steps=np.zeros(2**20)))


SUBJECTS = {"subjects": np.array(["cat"]), "steps": np.arange(1)}
TOKENS = {
    "prompt": np.array("cat"),
    "steps": np.arange(1),
    "rows": np.array(["cat"]),
    "kinds": np.array(["word"]),
    "characters": np.array([(0, 3)]),
}


@pytest.mark.parametrize(
    "arrays",
    [
        SUBJECTS | {"text/mid": np.ones((1, 2, 4, 4), np.float16)},
        SUBJECTS | {"text/mid": np.ones((2, 1, 4, 4), np.float16)},
        SUBJECTS | {"text/mid": np.full((1, 1, 4, 4), np.inf, np.float16)},
        SUBJECTS | {"text/mid": np.ones((1, 1, 4, 4), np.int8)},
        SUBJECTS | {"magic/mid": np.ones((1, 1, 4, 4), np.float16)},
        TOKENS,
        TOKENS | {"shares/mid": np.full((1, 1, 4, 4), np.nan, np.float16)},
        TOKENS | {"shares/mid": np.ones((1, 3, 4, 4), np.float16)},
        TOKENS | {"shares/mid": np.ones((1, 1, 4, 4), np.float16), "kinds": np.array(["script"])},
        TOKENS | {"shares/mid": np.ones((1, 1, 4, 4), np.float16), "characters": np.arange(3)},
    ],
    ids=lambda arrays: "-".join(arrays),
)
def test_arrays_of_another_layout_are_refused(arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(SettingsError):
        (TokenMaps if "prompt" in arrays else AttentionMaps).from_npz(_npz(**arrays))
