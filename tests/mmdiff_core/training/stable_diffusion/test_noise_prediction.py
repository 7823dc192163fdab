"""The stage on a frozen Stable Diffusion: its targets, its dropout, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState
from diffusers import DDIMScheduler, DDPMScheduler
from PIL import Image

from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.errors import CheckpointError, ModelError, SettingsError, TrainingError
from mmdiff_core.training.annotated.folder import AnnotatedImage
from mmdiff_core.training.annotated.format import Annotation, Segment
from mmdiff_core.training.annotated.training_examples import PhotoSettings, TrainingExample
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage, read_caption
from mmdiff_core.training.stable_diffusion.recipes import SdLossWeights, SdRecipe
from mmdiff_core.training.stable_diffusion.run import SdOptions, make_stage, open_adapter, open_base
from mmdiff_core.types import Face, Word
from tests.helpers import annotated, tiny


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("denoising")
    tiny.stable_diffusion(
        DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False, steps_offset=1)
    ).save_pretrained(root / "v")
    return {
        "data": annotated.folder(root / "data", 4),
        "sd": annotated.base(root / "sd"),
        "sdxl": annotated.base(root / "sdxl", "sdxl"),
        "v": root / "v",
        "toybox": tiny.save_toybox(root / "toybox"),
        "out": root / "out",
    }


def stage_of(places: dict[str, Path], recipe: SdRecipe, base: str) -> NoisePredictionStage:
    options = SdOptions(places["out"], str(places[base]), str(places["data"]))
    backbone = open_base(recipe, options, "cpu", torch.float32)
    return make_stage(recipe, options, backbone, open_adapter(recipe, options, backbone), PartialState(cpu=True))


@pytest.fixture(scope="module")
def stage(places: dict[str, Path]) -> NoisePredictionStage:
    return stage_of(places, annotated.recipe(), "sd")


@pytest.fixture(scope="module")
def example(stage: NoisePredictionStage) -> TrainingExample:
    """Two subjects, the second with two photos."""
    made = stage.examples.make(0, stage.records.draw(0, 1)[0][1])
    size = len(made.masks[0])
    photo = torch.full((3, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE), 0.3)
    return replace(
        made,
        caption="a cat next to a dog",
        words=(Word(0, "cat", 2, 5), Word(1, "dog", 16, 19)),
        photos=((photo,), (photo, photo + 0.2)),
        masks=torch.rand(2, size, size),
        sees="all",
    )


@pytest.mark.parametrize("base", ["sd", "v"])
def test_targets_are_what_the_base_predicts(places: dict[str, Path], base: str, example: TrainingExample) -> None:
    """Another way: the clean latents that the target implies are the picture's own."""
    stage = stage_of(places, annotated.recipe(), base)
    batch = stage.collate([example])
    kept = DDPMScheduler.from_config(stage.backbone.scheduler.config).alphas_cumprod[batch.timesteps]
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    if base == "v":
        clean = signal * batch.noisy - noise * batch.target
    else:
        clean = (batch.noisy - noise * batch.target) / signal
    posterior = stage.backbone.vae.encode(example.picture[None] * 2 - 1).latent_dist
    away = (clean / 0.18215 - posterior.mean) / posterior.std  # what was drawn from the posterior, in deviations
    assert away.std() == pytest.approx(1, abs=0.2)
    assert away.mean() == pytest.approx(0, abs=0.2)


def test_noise_follows_the_number_of_the_sample(stage: NoisePredictionStage, example: TrainingExample) -> None:
    alone, pair = stage.collate([example]), stage.collate([replace(example, number=9), example])
    assert torch.allclose(alone.noisy[0], pair.noisy[1], atol=1e-6)
    assert not torch.allclose(pair.noisy[0], pair.noisy[1], atol=1e-2)
    assert pair.timesteps[0] != pair.timesteps[1]


def test_what_each_row_sees(stage: NoisePredictionStage, example: TrainingExample) -> None:
    rows = [replace(example, sees=sees) for sees in ("all", "text", "photos", "nothing")]
    batch = stage.collate(rows)
    assert batch.present.any(-1).tolist() == [[True, True], [False, False], [True, True], [False, False]]
    assert batch.present[0].tolist() == [[True, False], [True, True]]
    (tokens,) = batch.tokens
    blank = tokenize(stage.backbone.tokenizers[0], "").ids[0]
    assert (tokens.words >= 0).tolist() == [[True, True], [False, False], [False, False], [False, False]]
    assert torch.equal(tokens.ids[2], blank)
    assert torch.equal(tokens.ids[3], blank)
    assert torch.equal(tokens.ids[0], tokens.ids[1])


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


def test_words_beyond_the_text_encoder_are_left_out(stage: NoisePredictionStage) -> None:
    caption = "a cat " + "x " * 90 + "dog"
    words = (Word(0, "cat", 2, 5), Word(1, "dog", len(caption) - 3, len(caption)))
    tokens = read_caption(stage.backbone.tokenizers[0], caption, words)
    assert tokens.words.tolist() == [[2, -1]]


def test_sdxl_reads_size_and_corner(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stage = stage_of(places, annotated.recipe("sdxl-general"), "sdxl")
    seen = []
    forward = stage.backbone.unet.forward
    monkeypatch.setattr(
        stage.backbone.unet,
        "forward",
        lambda *a, **k: seen.append(k["added_cond_kwargs"]["time_ids"]) or forward(*a, **k),
    )
    ((number, record),) = stage.records.draw(0, 1)
    example = replace(stage.examples.make(number, record), original=(100, 200), corner=(3, 4))
    assert stage.network(stage.collate([example]))["denoise"].isfinite()
    size = stage.examples.size
    assert seen[0].tolist() == [[100, 200, 3, 4, size, size]]


def test_portraits_learn_from_faces(places: dict[str, Path]) -> None:
    recipe = annotated.recipe("portrait", data=PhotoSettings(without_photos=0, without_text=0, without_both=0))
    options = SdOptions(places["out"], str(places["sdxl"]), str(places["data"]))
    backbone = open_base(recipe, options, "cpu", torch.float32)
    adapter = open_adapter(recipe, options, backbone)
    assert adapter.config.source == "face"
    assert adapter.config.self_attention_rank == adapter.config.text_towers[1].rank == 2
    assert backbone.image_encoder.keep_cls
    with pytest.raises(TrainingError, match="--faces"):
        make_stage(recipe, options, backbone, adapter, PartialState(cpu=True))
    stage = stage_of(places, annotated.recipe("sdxl-general"), "sdxl")
    examples = replace(stage.examples, with_faces=True, settings=recipe.data)
    faces = tuple(Face(tuple(torch.randn(512).tolist()), tiny.photo(k)) for k in range(3))
    annotation = Annotation("0", "a cat", (Segment(1, "a cat", 0, 5, (0, 0, 48, 48), face=faces[0].embedding),))
    record = AnnotatedImage(annotation, Image.new("RGB", (48, 48)), np.ones((48, 48), np.uint8), {}, {1: faces})
    face_stage = NoisePredictionStage(
        places["out"], backbone, adapter, stage.records, examples, [], recipe.training, recipe.weights
    )
    batch = face_stage.collate([examples.make(number, record) for number in range(3)])
    assert batch.crops.shape == batch.photos.shape
    assert batch.identity.shape == (*batch.present.shape, 512)
    face_stage.network(batch)["denoise"].backward()
    assert adapter.token_projector.state_dict().keys()
    assert all(p.grad is not None for p in adapter.token_projector.parameters())


def test_a_flow_is_refused(places: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="flow_prediction"):
        stage_of(places, annotated.recipe(), "toybox")


def test_a_base_of_another_kind_is_refused(places: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="sdxl-general is for a StableDiffusionXLPipeline"):
        stage_of(places, annotated.recipe("sdxl-general"), "sd")


def test_a_size_that_the_base_cannot_do_is_refused(places: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="from 16 to 128"):
        stage_of(places, annotated.recipe(size=500), "sd")


def test_an_adapter_for_another_base_is_refused(places: dict[str, Path]) -> None:
    recipe = annotated.recipe()
    options = SdOptions(
        places["out"], str(places["sd"]), str(places["data"]), init_from=places["sdxl"] / "adapter.safetensors"
    )
    backbone = open_base(recipe, options, "cpu", torch.float32)
    with pytest.raises(CheckpointError, match="another model"):
        open_adapter(recipe, options, backbone)
