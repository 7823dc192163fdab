"""The diffusion stages: what each row sees, cached encoder outputs in the place of pixels, and what learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmdiff_core.backbones.toybox import Toybox, load_toybox
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.training.precision import attention_kernels
from mmdiff_core.training.toybox import flow_matching
from mmdiff_core.training.toybox.cached_dataset import CachedDataset
from mmdiff_core.training.toybox.flow_matching import FlowMatchingBatch, FlowMatchingLoss, FlowMatchingStage
from mmdiff_core.training.toybox.on_the_fly_dataset import OnTheFlyDataset
from mmdiff_core.training.toybox.recipes import ConditionMix, LossWeights
from mmdiff_core.training.toybox.samples import MAX_SUBJECTS
from tests.helpers import tiny
from tests.helpers.toybox_training import RECIPE, render_shards

SETTINGS = replace(RECIPE.stages["joint"], batch=6)
PHOTOS_ONLY = ConditionMix(empty=0.0, described=0.0)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_shards(tmp_path_factory.mktemp("dataset"), count=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toybox, MMDiffAdapter]:
    return load_toybox(tiny.save_toybox(tmp_path_factory.mktemp("toybox")))


def make_stage(
    name: str, model: tuple[Toybox, MMDiffAdapter], shards: Path, folder: Path, mix: ConditionMix = PHOTOS_ONLY,
    encoded: bool = False,
) -> FlowMatchingStage:  # fmt: skip
    backbone, adapter = model
    dataset, held_out = CachedDataset(shards, RECIPE), OnTheFlyDataset(RECIPE, seed=1, identities="held_out")
    dataset.refresh()
    if encoded:
        dataset.encode_with(backbone.vae, backbone.image_encoder)
    stage = FlowMatchingStage(name, folder, backbone, adapter, dataset, held_out, SETTINGS, RECIPE.losses, mix, seed=3)
    stage.seek(0)
    return stage


def loss_terms(stage: FlowMatchingStage, batch: FlowMatchingBatch) -> dict[str, float]:
    torch.manual_seed(0)
    return {name: value.item() for name, value in stage.network(batch).items()}


@pytest.mark.parametrize("name", ["adapter", "joint"])
def test_cached_features_give_the_same_loss(
    name: str, model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path
) -> None:
    """Latents are stored in half precision either way; features, too, which changes the loss by less than 1e-3."""
    direct, cached = (make_stage(name, model, shards, tmp_path, encoded=encoded) for encoded in (False, True))
    pixels, encoded = direct.batch(), cached.batch()
    assert torch.equal(pixels.latents, encoded.latents)
    assert torch.equal(pixels.photos, encoded.photos)
    assert torch.equal(pixels.tokens.ids, encoded.tokens.ids)
    assert pixels.features is None
    assert encoded.references is None
    assert pixels.photos.any()
    terms = loss_terms(direct, pixels)
    assert terms.keys() == {"denoise", "text_map", "image_map"}
    assert loss_terms(cached, encoded) == pytest.approx(terms, rel=1e-3, abs=1e-5)
    exact = replace(encoded, features=direct.network.features(pixels))
    assert loss_terms(cached, exact) == pytest.approx(terms, rel=1e-6)


def test_only_the_photos_that_a_row_sees_count(
    model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path
) -> None:
    stage = make_stage("joint", model, shards, tmp_path, encoded=True)
    batch = stage.batch()
    hidden = ~batch.photos
    assert (hidden & batch.features.present).any()
    features = replace(
        batch.features,
        cls=batch.features.cls.masked_fill(hidden[..., None], 9.0),
        patches=batch.features.patches.masked_fill(hidden[..., None, None], 9.0),
    )
    assert loss_terms(stage, replace(batch, features=features)) == pytest.approx(loss_terms(stage, batch), rel=1e-6)


def test_the_mix_decides_what_rows_see(model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path) -> None:
    texts = {}
    for name, mix in {
        "photos": PHOTOS_ONLY,
        "described": ConditionMix(empty=0.0, described=1.0),
        "empty": ConditionMix(empty=1.0, described=0.0),
    }.items():
        stage = make_stage("joint", model, shards, tmp_path, mix)
        batch = stage.batch()
        assert batch.photos.flatten(1).any(1).all() == (name == "photos")
        assert (batch.tokens.words >= 0).any(1).all() == (name == "photos")
        assert batch.tokens.words.shape[1] == MAX_SUBJECTS
        texts[name] = batch.tokens.ids
    blank = stage._read("").ids
    assert (texts["empty"] == blank).all()
    assert not (texts["described"] == blank).all(1).any()


def gradients(stage: FlowMatchingStage, batch: FlowMatchingBatch) -> torch.Tensor:
    stage.network.zero_grad()
    torch.manual_seed(0)
    sum(stage.network(batch).values()).backward()
    return torch.cat([p.grad.float().flatten() for p in stage.network.parameters() if p.grad is not None])


def test_shared_scores_train_as_the_plain_maths(
    model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path
) -> None:
    stage = make_stage("joint", model, shards, tmp_path, RECIPE.mix, encoded=True)
    batch = stage.batch()
    with attention_kernels(torch.device("cpu")):
        terms, gradient = loss_terms(stage, batch), gradients(stage, batch)
    stage.network.shared_scores = False
    assert loss_terms(stage, batch) == pytest.approx(terms, rel=1e-6, abs=1e-7)
    assert (gradients(stage, batch) - gradient).norm() < 1e-4 * gradient.norm()


@pytest.mark.parametrize("encoded", [True, False])
def test_networks_in_bf16_lose_little(encoded: bool, shards: Path, tmp_path: Path) -> None:
    """Also with an image encoder that stays in float32."""
    stage = make_stage("joint", load_toybox(tiny.save_toybox(tmp_path)), shards, tmp_path, encoded=encoded)
    batch = stage.batch()
    terms, gradient = loss_terms(stage, batch), gradients(stage, batch)
    stage.network.to(torch.bfloat16)
    with attention_kernels(torch.device("cpu")):
        assert loss_terms(stage, batch) == pytest.approx(terms, rel=0.02, abs=2e-3)
        half = gradients(stage, batch)
    assert torch.cosine_similarity(half, gradient, 0) > 0.97


def test_muon_suits_neither_embeddings_nor_loras_nor_the_ends(
    model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path
) -> None:
    stage = make_stage("joint", model, shards, tmp_path)
    chosen = {id(weight) for weight in stage.hidden_weights()}
    names = {name for name, parameter in stage.network.named_parameters() if id(parameter) in chosen}
    assert {"unet.mid_block.resnets.0.conv1.weight", "adapter.refiner.patches.weight"} <= names
    assert any(name.startswith("text_encoder.") for name in names)
    assert not [n for n in names if "embedding.weight" in n or "lora" in n or "conv_in" in n or "conv_out" in n]


@pytest.mark.parametrize(
    ("name", "learning"),
    [
        ("base", {"unet", "text_encoder"}),
        ("adapter", {"adapter"}),
        ("joint", {"unet", "text_encoder", "adapter"}),
    ],
)
def test_each_stage_trains_its_own_parts(
    name: str, learning: set[str], model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path
) -> None:
    stage = make_stage(name, model, shards, tmp_path, RECIPE.mix, encoded=True)
    stage.network.zero_grad()
    torch.stack(list(stage.network(stage.batch()).values())).sum().backward()
    reached = {n.split(".")[0] for n, parameter in stage.network.named_parameters() if parameter.grad is not None}
    assert reached == learning
    stage.finish()
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path for path in ("unet", "text_encoder", "adapter.safetensors") if path[:7] in str(learning)}


def test_a_subjects_pixels_weigh_more(model: tuple[Toybox, MMDiffAdapter]) -> None:
    loss = FlowMatchingLoss(*model, LossWeights(subject_pixels=3.0), photos=True)
    masks = torch.zeros(1, MAX_SUBJECTS, 4, 4)
    masks[:, 0, :, :2] = 1
    target = torch.zeros(1, 4, 4, 4)
    wrong = target.clone()
    wrong[..., :2] = 1  # on the subject alone
    assert loss._denoising(wrong, target, masks) == pytest.approx(3 * 0.5 / 2)


def test_a_sheet_has_a_column_for_each_sample(
    model: tuple[Toybox, MMDiffAdapter], shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_matching, "SHEET_IMAGES", 2)
    backbone = replace(model[0], defaults=replace(model[0].defaults, steps=1))
    for name in ("base", "adapter"):
        sheet = make_stage(name, (backbone, model[1]), shards, tmp_path).sheet()
        assert sheet.size == (2 * (RECIPE.size + 2), 4 * (RECIPE.size + 2))
        assert sheet.convert("L").getextrema()[0] < 200
