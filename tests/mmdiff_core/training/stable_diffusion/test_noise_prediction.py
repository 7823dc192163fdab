"""Training on a frozen Stable Diffusion: the loss terms, the gradients, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from PIL import Image

from mmdiff_core.errors import SettingsError, TrainingError
from mmdiff_core.training.annotated.folder import AnnotatedImage
from mmdiff_core.training.annotated.format import Annotation, Segment
from mmdiff_core.training.annotated.training_examples import PhotoSettings, TrainingExample
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stable_diffusion.recipes import SdLossWeights
from mmdiff_core.training.stable_diffusion.run import SdOptions, make_stage, open_adapter, open_base
from mmdiff_core.types import Face
from tests.helpers import tiny
from tests.helpers.annotated import make_tiny_stage, recipe


def test_rows_without_photos_are_not_constrained(stage: NoisePredictionStage, example: TrainingExample) -> None:
    def terms(sees: str) -> dict[str, float]:
        batch = stage.collate([replace(example, sees=sees)])
        return {name: value.item() for name, value in stage.network(batch).items()}

    assert {name for name, value in terms("all").items() if value} == {"denoise", "text_map", "image_map"}
    assert {name for name, value in terms("photos").items() if value} == {"denoise", "image_map"}
    assert {name for name, value in terms("text").items() if value} == {"denoise"}


def test_a_batch_may_be_cut_in_parts(stage: NoisePredictionStage, example: TrainingExample) -> None:
    """Rows with and without subjects, so that a mean over subjects would differ."""
    rows = [example, replace(example, number=1, sees="text"), replace(example, number=2, words=example.words[:1],
            photos=example.photos[:1], masks=example.masks[:1])]  # fmt: skip
    whole = stage.network(stage.collate(rows))
    parts = [stage.network(stage.collate([row])) for row in rows]
    for name, value in whole.items():
        assert value.item() == pytest.approx(sum(part[name].item() for part in parts) / 3, abs=1e-5)


def test_every_part_that_learns_gets_a_gradient(stage: NoisePredictionStage, example: TrainingExample) -> None:
    terms = stage.network(stage.collate([example]))
    stage.adapter.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    without = [name for name, parameter in stage.adapter.named_parameters() if parameter.grad is None]
    assert without == []
    assert all(not parameter.requires_grad for parameter in stage.backbone.unet.parameters())
    assert all(parameter.grad is None for parameter in stage.backbone.unet.parameters())


def test_weight_of_a_subjects_pixels(stage: NoisePredictionStage, example: TrainingExample) -> None:
    batch = stage.collate([replace(example, masks=torch.zeros(1, *example.masks.shape[1:]))])
    batch.masks[..., :8] = 1
    predicted = batch.target.clone()
    predicted[..., :8] += 1  # wrong on the subject alone
    network = stage.network
    plain = network._denoising(predicted, batch)
    network.weights = SdLossWeights(subject_pixels=3.0)
    assert network._denoising(predicted, batch) == pytest.approx(3 * 0.5 / 2, abs=1e-6)
    network.weights = SdLossWeights()
    assert plain == pytest.approx(0.5, abs=1e-6)


def test_sdxl_reads_size_and_corner(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make_tiny_stage(folders, recipe("sdxl-general"), "sdxl")
    seen = []
    forward = stage.backbone.unet.forward
    monkeypatch.setattr(
        stage.backbone.unet,
        "forward",
        lambda *a, **k: seen.append(k["added_cond_kwargs"]["time_ids"]) or forward(*a, **k),
    )
    ((number, record),) = stage.records.batch(0, 1)
    example = replace(stage.examples.make(number, record), original=(100, 200), corner=(3, 4))
    assert stage.network(stage.collate([example]))["denoise"].isfinite()
    size = stage.examples.size
    assert seen[0].tolist() == [[100, 200, 3, 4, size, size]]


def test_portraits_learn_from_faces(folders: dict[str, Path]) -> None:
    portrait = recipe("portrait", data=PhotoSettings(without_photos=0, without_text=0, without_both=0))
    options = SdOptions(folders["root"] / "out", str(folders["sdxl"]), str(folders["data"]))
    backbone = open_base(portrait, options, "cpu", torch.float32)
    adapter = open_adapter(portrait, options, backbone)
    assert adapter.config.source == "face"
    assert adapter.config.self_attention_rank == adapter.config.text_towers[1].rank == 2
    assert backbone.image_encoder.keep_cls
    with pytest.raises(TrainingError, match="--faces"):
        make_stage(portrait, options, backbone, adapter, PartialState(cpu=True))
    stage = make_tiny_stage(folders, recipe("sdxl-general"), "sdxl")
    examples = replace(stage.examples, with_faces=True, settings=portrait.data)
    faces = tuple(Face(tuple(torch.randn(512).tolist()), tiny.photo(k)) for k in range(3))
    annotation = Annotation("0", "a cat", (Segment(1, "a cat", 0, 5, (0, 0, 48, 48), face=faces[0].embedding),))
    record = AnnotatedImage(annotation, Image.new("RGB", (48, 48)), np.ones((48, 48), np.uint8), {}, {1: faces})
    face_stage = NoisePredictionStage(
        folders["root"] / "out", backbone, adapter, stage.records, examples, [], portrait.training, portrait.weights
    )
    batch = face_stage.collate([examples.make(number, record) for number in range(3)])
    assert batch.crops.shape == batch.photos.shape
    assert batch.identity.shape == (*batch.present.shape, 512)
    face_stage.network(batch)["denoise"].backward()
    assert adapter.token_projector.state_dict().keys()
    assert all(p.grad is not None for p in adapter.token_projector.parameters())


def test_a_flow_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="flow_prediction"):
        make_tiny_stage(folders, recipe(), "toybox")
