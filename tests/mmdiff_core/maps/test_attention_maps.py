"""Maps as values: what is averaged, what is skipped, what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition, LayerMaps, SubjectEmbeddings, TextStates
from mmdiff_core.types import Recording


def _condition(with_subjects: bool = True, guidance: bool = True) -> Condition:
    rows = 2 if guidance else 1
    subjects = SubjectEmbeddings((), torch.zeros(rows, 2, 8), torch.arange(2), torch.ones(rows, 2, dtype=torch.bool))
    return Condition(
        text=TextStates(torch.zeros(rows, 77, 8)),
        subjects=subjects if with_subjects else None,
        words=torch.zeros(rows, 2, dtype=torch.long),
        scales=torch.ones(rows, 2),
        conditional=torch.tensor([False, True] if guidance else [True]),
    )


def _layer(name: str, size: tuple[int, int], value: float, heads: int = 0) -> LayerMaps:
    """Return constant maps of the conditional row, in which subject 1 has twice the value of subject 0."""
    conditional = torch.tensor([value, 2 * value]).view(2, *(1,) * (3 if heads else 2))
    conditional = conditional.expand(2, *((heads,) if heads else ()), *size)
    maps = conditional[None]
    return LayerMaps(name, size, {"text": maps, "image": maps / 2})


@pytest.fixture
def maps() -> AttentionMaps:
    """Two steps of two layers, 2 x 3 and 4 x 6; the first step is delayed and has no image term."""
    empty = AttentionMaps(("cat", "robot"))
    first = empty.with_step(0, [_layer("a", (2, 3), 0.1), _layer("b", (4, 6), 0.3)], _condition(with_subjects=False))
    return first.with_step(1, [_layer("a", (2, 3), 0.2), _layer("b", (4, 6), 0.4)], _condition())


def test_what_was_recorded(maps: AttentionMaps) -> None:
    assert maps.steps == (0, 1)
    assert maps.layers == {"a": (2, 3), "b": (4, 6)}
    assert maps.kinds == ("text", "image")
    assert maps.size == (4, 6)
    assert all(values.dtype == torch.float16 for record in maps.records for values in record.kinds.values())


@pytest.mark.parametrize(
    ("question", "size", "answer"),
    [
        ({"kind": "text", "step": 0, "layer": "a"}, (2, 3), 0.1),
        ({"kind": "text", "step": 1}, (4, 6), 0.3),
        ({"kind": "text", "layer": "b"}, (4, 6), 0.35),
        ({"kind": "text"}, (4, 6), 0.25),
        ({"kind": "image"}, (4, 6), 0.15),  # the delayed step does not count
        ({"kind": "image", "step": 0}, (4, 6), 0.0),
        ({"kind": "influence"}, (4, 6), 0.0),  # not recorded
    ],
)
def test_average_over_what_is_left_open(
    maps: AttentionMaps, question: dict[str, object], size: tuple[int, int], answer: float
) -> None:
    for subject, factor in ((0, 1), ("robot", 2)):
        found = maps.at(subject, **question)
        assert found.dtype == np.float32
        assert found.shape == size
        assert np.allclose(found, factor * answer, atol=1e-3)


def test_without_guidance_the_maps_are_the_same() -> None:
    maps = AttentionMaps(("cat", "robot")).with_step(0, [_layer("a", (2, 3), 0.5)], _condition(guidance=False))
    assert np.allclose(maps.at("cat", "text"), 0.5)


def test_a_step_is_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy from a GPU waits for it."""
    copies, cpu = [], Tensor.cpu
    monkeypatch.setattr(Tensor, "cpu", lambda x: copies.append(x) or cpu(x))
    layers = [_layer("a", (2, 3), 0.1), _layer("b", (4, 6), 0.3, heads=2)]
    maps = AttentionMaps(("cat", "robot")).with_step(0, layers, _condition())
    assert len(copies) == 1
    assert maps.records[1].kinds["image"].shape == (2, 2, 4, 6)
    assert np.allclose(maps.at("robot", "image", layer="b"), 0.3, atol=1e-3)


def test_heads_apart_or_averaged() -> None:
    values = torch.arange(2 * 3 * 2 * 3).view(1, 2, 3, 2, 3).float()
    layer = LayerMaps("a", (2, 3), {"text": values})
    maps = AttentionMaps(("cat", "robot")).with_step(0, [layer], _condition())
    assert np.array_equal(maps.at(1, "text", head=2), values[0, 1, 2].numpy())
    assert np.array_equal(maps.at(1, "text"), values[0, 1].mean(0).numpy())


def test_a_small_layer_is_enlarged_smoothly() -> None:
    ramp = torch.tensor([[0.0, 1.0]]).expand(2, 1, 1, 2)
    layers = [LayerMaps("small", (1, 2), {"text": ramp}), LayerMaps("large", (1, 4), {"text": torch.zeros(2, 1, 1, 4)})]
    found = AttentionMaps(("cat",)).with_step(0, layers, _condition()).at(0, "text")
    assert np.allclose(found, [[0, 0.125, 0.375, 0.5]])


@pytest.mark.parametrize("question", [{"step": 7}, {"layer": "z"}])
def test_no_such_map(maps: AttentionMaps, question: dict[str, object]) -> None:
    with pytest.raises(KeyError, match="No text map"):
        maps.at(0, "text", **question)


def test_no_such_subject(maps: AttentionMaps) -> None:
    for subject in (2, -1, "dog"):
        with pytest.raises(KeyError, match="No text map of subject"):
            maps.at(subject, "text")


def test_a_later_step_leaves_the_value_as_it_was(maps: AttentionMaps) -> None:
    later = maps.with_step(2, [_layer("a", (2, 3), 1.0)], _condition())
    assert (maps.steps, later.steps) == ((0, 1), (0, 1, 2))


def test_written_arrays(maps: AttentionMaps, tmp_path: Path) -> None:
    maps.to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz", allow_pickle=False) as written:
        assert set(written) == {"subjects", "steps", "text/a", "text/b", "image/a", "image/b"}
        assert written["subjects"].tolist() == ["cat", "robot"]
        assert written["steps"].tolist() == [0, 1]
        assert written["text/b"].shape == (2, 2, 4, 6)
        assert np.allclose(written["text/a"][1, 1], 0.4, atol=1e-3)
        assert np.isnan(written["image/a"][0]).all()
        assert np.allclose(written["image/a"][1, 0], 0.1, atol=1e-3)


# ---------------------------------------------------------------- the recorder


def _maps(values: Tensor) -> LayerMaps:
    return LayerMaps("a", (1, 1), {"text": values})


def test_recorder_is_open_for_one_forward() -> None:
    recorder = Recorder(Recording(kinds=("text",)))
    one, other = _maps(torch.zeros(1, 1, 1, 1)), _maps(torch.ones(1, 1, 1, 1))
    recorder.add(other)
    assert recorder.layers == ()
    recorder.begin_step()
    recorder.add(one)
    assert recorder.seal() == (one,)
    recorder.add(other)
    assert recorder.layers == (one,)
    recorder.begin_step(1)
    assert recorder.layers == ()


def test_recorded_maps_keep_their_gradient() -> None:
    recorder = Recorder()
    values = torch.ones(1, 1, 1, 1, requires_grad=True)
    recorder.begin_step()
    recorder.add(_maps(values))
    recorder.seal()[0].kinds["text"].sum().backward()
    assert values.grad is not None


def test_other_words_are_read_and_written(tmp_path: Path) -> None:
    words = torch.full((1, 1, 2, 3), 0.5)
    layer = replace(_layer("a", (2, 3), 0.1), kinds={**_layer("a", (2, 3), 0.1).kinds, "words": words})
    maps = AttentionMaps(("cat", "robot"), others=("beach",)).with_step(0, [layer], _condition(with_subjects=False))
    assert maps.kinds == ("text",)
    assert maps.at("beach", "words").tolist() == [[0.5] * 3] * 2
    maps.to_npz(tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as written:
        assert written["others"].tolist() == ["beach"]
        assert written["words/a"].shape == (1, 1, 2, 3)
