"""The interfaces between the stages and the training loop."""

from __future__ import annotations

from pathlib import Path

from mmdiff_core.training.stable_diffusion.noise_prediction import NoisePredictionStage
from mmdiff_core.training.stage import ExactlyResumable, Seekable, StageSettings, TrainerOptions
from mmdiff_core.training.toybox.autoencoder import AutoencoderStage
from mmdiff_core.training.toybox.contrastive import ContrastiveStage
from mmdiff_core.training.toybox.flow_matching import FlowMatchingStage

STAGE_METHODS = ("trained", "batch", "sheet", "finish")


def test_every_stage_has_what_the_loop_needs() -> None:
    for stage in (AutoencoderStage, ContrastiveStage, FlowMatchingStage, NoisePredictionStage):
        assert all(callable(getattr(stage, name)) for name in STAGE_METHODS), stage
        assert issubclass(stage, Seekable), stage
    assert issubclass(NoisePredictionStage, ExactlyResumable)
    assert not issubclass(FlowMatchingStage, ExactlyResumable)


def test_by_default_a_stage_takes_all_its_steps_and_the_loop_only_trains(tmp_path: Path) -> None:
    settings, options = StageSettings(steps=10, batch=2, lr=1e-3), TrainerOptions()
    assert settings.time_budget == 0
    assert settings.max_grad_norm == 1
    assert options.accumulate == 1
    assert options.validate_every == 0
    assert not options.tensorboard
