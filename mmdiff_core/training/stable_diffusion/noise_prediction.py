"""Training of the adapter on a frozen Stable Diffusion: noise or velocity prediction with the base's own schedule.

Only the adapter learns, from the denoising loss and the attention-map constraints (paper, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from mmdiff_core.backbones.schedulers import is_edm
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.errors import SettingsError
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.generation.subject_embedding import encode_faces, encode_pixels
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.maps.constraints import constraint_losses
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures
from mmdiff_core.training.annotated.folder import RecordSource
from mmdiff_core.training.annotated.training_examples import ExampleMaker, TrainingExample
from mmdiff_core.training.stable_diffusion.collate import Collator, NoisePredictionBatch
from mmdiff_core.training.stable_diffusion.recipes import SdLossWeights
from mmdiff_core.training.stable_diffusion.sample_sheet import draw_sheet
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.types import MapKind, Recording
from mmdiff_core.weights.adapter_file import save_adapter

READERS = 8  # threads that open images
PREDICTIONS = ("epsilon", "v_prediction")
ADAPTER_FILE = "adapter.safetensors"


class NoisePredictionLoss(nn.Module):
    """Loss terms of a batch, as means over its rows, so that a batch may be split."""

    def __init__(self, backbone: StableDiffusion, adapter: MMDiffAdapter, weights: SdLossWeights) -> None:
        super().__init__()
        self.adapter = adapter  # the frozen parts are no submodules, so that no process copies them
        self.backbone, self.weights = backbone, weights

    def forward(self, batch: NoisePredictionBatch) -> dict[str, Tensor]:
        recorder = Recorder(Recording(("text", "image")), shared_scores=True)
        recorder.begin_step()
        condition = self._condition(batch)
        predicted = self.backbone.predict_noise(batch.noisy, batch.timesteps, condition, recorder)
        recorder.seal()
        return {"denoise": self._denoising(predicted.float(), batch), **self._constraints(recorder, batch)}

    def _condition(self, batch: NoisePredictionBatch) -> Any:
        height, width = batch.noisy.shape[-2:]
        scale = self.backbone.sizes.multiple
        condition = build_condition(
            self.backbone,
            self.adapter,
            self.adapter.weights(self.backbone.unet),
            batch.tokens,
            self.adapter.embed(self._features(batch), batch.identity),
            batch.present.any(-1).float(),
            size=(scale * width, scale * height),
        )
        if "time_ids" in condition.added:
            sizes = batch.time_ids.to(condition.added["time_ids"])
            condition = replace(condition, added={**condition.added, "time_ids": sizes})
        return condition

    @torch.no_grad()
    def _features(self, batch: NoisePredictionBatch) -> ImageFeatures:
        encoder = self.backbone.image_encoder
        assert encoder is not None  # open_base provides one
        present = batch.present
        if not present.any():  # encode one at a scale of 0, so that every weight stays in the graph
            present = torch.zeros_like(present)
            present[0, 0, 0] = True
        if batch.crops is None:
            return encode_pixels(encoder, batch.photos, present)
        return encode_faces(encoder, batch.photos[:, :, 0], batch.crops, present)

    def _denoising(self, predicted: Tensor, batch: NoisePredictionBatch) -> Tensor:
        """Return the mean squared error, with the weight of the subjects' pixels."""
        subjects = batch.masks.sum(1, keepdim=True).clamp(max=1)  # (B, 1, h, w)
        weight = 1 + (self.weights.subject_pixels - 1) * subjects
        error = weight * (predicted - batch.target.float()).square()
        return (error.mean((1, 2, 3)) / weight.mean((1, 2, 3))).mean()

    def _constraints(self, recorder: Recorder, batch: NoisePredictionBatch) -> dict[str, Tensor]:
        """Return the constraints, averaged over the rows; rows without a photo count as zero."""
        seen = batch.present.any(-1)  # (B, S)
        named = seen & (batch.tokens[0].words >= 0).to(seen.device)
        weights: dict[MapKind, float] = {"text": self.weights.text_constraint, "image": self.weights.image_constraint}
        present: dict[MapKind, Tensor] = {"text": named, "image": seen}
        return constraint_losses(recorder.layers, weights, batch.masks, present, per_sample=True)


class NoisePredictionStage:
    """Trains an adapter on annotated images.

    Args:
        folder: where the adapter is written.
        backbone, adapter: on the device of the training.
        records: the annotated images.
        examples: makes examples of them.
        held_out: examples for the validation loss and the sheets; the same in every run.
        settings: of the optimizer.
        weights: of the loss terms.
        accumulate: batches per step.
        extra: metadata of the adapter's file.

    Raises:
        SettingsError: the base predicts neither noise nor velocity.
    """

    name = "adapter"

    def __init__(
        self, folder: Path, backbone: StableDiffusion, adapter: MMDiffAdapter, records: RecordSource,
        examples: ExampleMaker, held_out: Sequence[TrainingExample], settings: StageSettings, weights: SdLossWeights,
        accumulate: int = 1, extra: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        kind = "EDM's output" if is_edm(backbone.scheduler) else backbone.scheduler.config.prediction_type
        if kind not in PREDICTIONS:
            raise SettingsError(
                f'The base "{backbone.name}" predicts {kind}, but this recipe is for {" and ".join(PREDICTIONS)}: '
                "train a model of the built-in kind with: train toybox --recipe cpu"
            )
        self.folder, self.settings, self.accumulate = folder, settings, accumulate
        self.backbone, self.adapter, self.extra = backbone, adapter, dict(extra or {})
        self.records, self.examples = records, examples
        schedule = DDPMScheduler.from_config(backbone.scheduler.config)
        self.collate = Collator(backbone, schedule, examples)
        steps, count = schedule.config.num_train_timesteps, max(1, len(held_out))
        self.held_out = tuple(
            replace(example, timestep=int((index + 0.5) / count * steps)) for index, example in enumerate(held_out)
        )
        self.readers = ThreadPoolExecutor(READERS)
        self.next_batch = 0
        self._network = NoisePredictionLoss(backbone, adapter, weights)

    @property
    def network(self) -> nn.Module:
        return self._network

    def trained(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.adapter.parameters() if parameter.requires_grad]

    def seek(self, step: int) -> None:
        """Continue with the batches of that step."""
        self.next_batch = step * self.accumulate

    def batch(self) -> NoisePredictionBatch:
        records = self.records.batch(self.next_batch, self.settings.batch)
        self.next_batch += 1
        return self.collate(list(self.readers.map(lambda pair: self.examples.make(*pair), records)))

    @torch.no_grad()
    def validate(self, rank: int, world_size: int) -> tuple[float, int]:
        """Return the summed denoising loss of this process's share of the held-out examples, and their number.

        The noise of each is the same every time, at evenly spread timesteps.
        """
        total, own = 0.0, range(rank, len(self.held_out), world_size)
        for index in own:
            batch = self.collate([self.held_out[index]])
            total += float(self._network(batch)["denoise"])
        return total, len(own)

    @torch.no_grad()
    def sheet(self) -> Image.Image:
        """Draw held-out examples: photos, image, generated image and heatmaps."""
        return draw_sheet(self.backbone, self.adapter, self.held_out)

    def checkpoint(self) -> None:
        """Write the current adapter."""
        save_adapter(self.adapter, self.folder / ADAPTER_FILE, self.extra)

    def finish(self) -> Mapping[str, float]:
        """Write the adapter; return its number of parameters."""
        self.checkpoint()
        return {"parameters": float(sum(parameter.numel() for parameter in self.trained()))}
