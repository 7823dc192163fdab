"""Batches: their targets, their noise, and what each row is conditioned on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler

from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.training.annotated.training_examples import TrainingExample
from mmdiff_core.training.stable_diffusion.collate import read_caption
from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.types import Word
from tests.helpers.annotated import make_tiny_stage, recipe


@pytest.mark.parametrize("base", ["sd", "v"])
def test_targets_are_what_the_base_predicts(folders: dict[str, Path], base: str, example: TrainingExample) -> None:
    """Another way: the clean latents that the target implies are the image's own."""
    stage = make_tiny_stage(folders, recipe(), base)
    batch = stage.collate([example])
    kept = DDPMScheduler.from_config(stage.backbone.scheduler.config).alphas_cumprod[batch.timesteps]
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    if base == "v":
        clean = signal * batch.noisy - noise * batch.target
    else:
        clean = (batch.noisy - noise * batch.target) / signal
    posterior = stage.backbone.vae.encode(example.image[None] * 2 - 1).latent_dist
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


def test_words_beyond_the_text_encoder_are_left_out(stage: NoisePredictionStage) -> None:
    caption = "a cat " + "x " * 90 + "dog"
    words = (Word(0, "cat", 2, 5), Word(1, "dog", len(caption) - 3, len(caption)))
    tokens = read_caption(stage.backbone.tokenizers[0], caption, words)
    assert tokens.words.tolist() == [[2, -1]]


def test_masks_and_sizes_are_padded(stage: NoisePredictionStage, example: TrainingExample) -> None:
    alone = replace(
        example, words=example.words[:1], photos=example.photos[:1], masks=example.masks[:1], original=(10, 20),
        corner=(3, 4),
    )  # fmt: skip
    batch = stage.collate([example, alone])
    assert batch.masks.shape[:2] == (2, 2)
    assert (batch.masks[1, 1] == 0).all()
    assert batch.photos.shape[:3] == (2, 2, 2)
    assert batch.time_ids[1].tolist() == [10, 20, 3, 4, stage.examples.size, stage.examples.size]
