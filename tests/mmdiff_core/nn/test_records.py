"""What a condition says about its own rows and tokens."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from mmdiff_core.nn.records import Condition, LayerCondition, SubjectEmbeddings, TextStates


def _condition(subjects: SubjectEmbeddings | None, conditional: tuple[bool, ...] = (False, True)) -> Condition:
    rows = len(conditional)
    return Condition(
        text=TextStates(torch.zeros(rows, 5, 6)),
        subjects=subjects,
        words=torch.tensor([[-1, -1], [1, 3]])[:rows],
        scales=torch.ones(rows, 2),
        conditional=torch.tensor(conditional),
    )


@pytest.fixture
def subjects() -> SubjectEmbeddings:
    """Two tokens of the first subject and three of the second, the last of them padding."""
    present = torch.tensor([[False] * 5, [True, True, True, True, False]])
    return SubjectEmbeddings((), torch.randn(2, 5, 6), torch.tensor([0, 0, 1, 1, 1]), present)


@pytest.mark.parametrize(("conditional", "rows"), [((False, True), 1), ((True, True), 2), ((True,), 1), ((False,), 0)])
def test_the_conditional_rows_are_counted(conditional: tuple[bool, ...], rows: int) -> None:
    assert _condition(None, conditional).conditional_rows == rows


def test_a_subject_owns_its_tokens_that_are_there(subjects: SubjectEmbeddings) -> None:
    owned = _condition(subjects).owned
    assert owned.dtype == torch.float32
    assert not owned[0].any(), "no photo in the unconditional row"
    assert owned[1].tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]


def test_without_subjects_nothing_is_owned() -> None:
    assert _condition(None).owned.shape == (2, 2, 0)


def test_layers_come_with_a_new_condition(subjects: SubjectEmbeddings) -> None:
    condition = _condition(subjects)
    layers = {"mid.attn2": LayerCondition(query=torch.ones(2, 2))}
    filled = condition.with_layers(layers)
    assert filled.layers == layers
    assert filled.subjects is subjects
    assert condition.layers == {}
    with pytest.raises(FrozenInstanceError):
        condition.layers = layers
