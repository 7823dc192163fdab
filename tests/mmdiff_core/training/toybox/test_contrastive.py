"""Contrastive training of the encoders: the loss, what it pulls together, and what is measured."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.training.toybox import contrastive
from mmdiff_core.training.toybox.contrastive import ContrastiveStage, symmetric_contrast
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from tests.helpers import tiny
from tests.helpers.toybox_training import RECIPE

SETTINGS = replace(RECIPE.stages["encoders"], batch=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_toybox(tmp_path_factory.mktemp("toybox"))


@pytest.fixture
def stage(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContrastiveStage:
    monkeypatch.setattr(contrastive, "GALLERY", 4)
    monkeypatch.setattr(contrastive, "GALLERIES", 2)
    return make_stage(load_toybox(model)[0], tmp_path / "out")


def make_stage(backbone: Toybox, folder: Path) -> ContrastiveStage:
    dataset, held_out = OnTheFlyDataset(RECIPE, 1), OnTheFlyDataset(RECIPE, 1, "held_out")
    text_encoder, tokenizer, encoder = backbone.text_encoders[0], backbone.tokenizers[0], backbone.image_encoder
    assert encoder is not None
    folder.mkdir()
    return ContrastiveStage(folder, text_encoder, tokenizer, encoder, dataset, held_out, SETTINGS)


def test_the_contrast_is_info_nce_in_both_directions() -> None:
    a, b = (torch.nn.functional.normalize(torch.randn(5, 8), dim=-1) for _ in range(2))
    scores = 3.0 * a @ b.T
    by_rows = -torch.stack([scores[i, i] - scores[i].logsumexp(0) for i in range(5)]).mean()
    by_columns = -torch.stack([scores[i, i] - scores[:, i].logsumexp(0) for i in range(5)]).mean()
    torch.testing.assert_close(symmetric_contrast(a, b, torch.tensor(3.0)), (by_rows + by_columns) / 2)
    alike = torch.ones(4, 8) / math.sqrt(8)
    assert symmetric_contrast(alike, alike, torch.tensor(3.0)).item() == pytest.approx(math.log(4))


def test_a_batch_has_two_photos_and_a_description_of_each_toy(stage: ContrastiveStage) -> None:
    stage.seek(3)
    first = stage.batch()
    stage.seek(3)
    again = stage.batch()
    assert first.first.shape == first.second.shape == (4, 3, RECIPE.reference, RECIPE.reference)
    assert len(first.descriptions.ids) == 4
    assert torch.equal(first.first, again.first)
    assert not torch.equal(first.first, stage.batch().first)


def test_everything_learns(stage: ContrastiveStage) -> None:
    terms = stage.network(stage.batch())
    assert terms.keys() == {"text_image", "same_toy"}
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, parameter in stage.network.named_parameters() if parameter.grad is None] == []


def test_a_few_steps_tell_toys_apart(stage: ContrastiveStage) -> None:
    batch = stage.batch()
    optimizer = torch.optim.Adam(stage.trained(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = torch.stack(list(stage.network(batch).values())).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_it_ends_with_a_sheet_a_share_and_encoders_in_the_folder(stage: ContrastiveStage) -> None:
    sheet = stage.sheet()
    assert sheet.size == (10 * (RECIPE.reference + 2), 4 * (RECIPE.reference + 2))
    measured = stage.finish()
    assert 0 <= measured["same_toy_of_16"] <= 1
    assert {path.name for path in stage.folder.iterdir()} == {"text_encoder", "image_encoder"}
