"""The stage that distils the model into a student for few steps: a LoRA on the UNet, learned from the teacher's way.

The teacher goes from noise to an image with its solver and with guidance. The student learns, at each of a few fixed
noise levels, the mean velocity to the next one, so that one evaluation replaces several steps and both halves of
guidance. This is trajectory distillation, as in progressive distillation (arXiv 2202.00512) with the guidance folded in
(arXiv 2210.03142), straight to the wanted number of steps. The constraints on the attention maps go on, with the
regions of the teacher's heatmaps as masks.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor
from tqdm import tqdm

from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.backbones.toybox import save_student, student_of
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures, PromptTokens
from mmdiff_core.training.distillation.trajectories import PER_FILE, Trajectories, join_trajectories, trace
from mmdiff_core.training.precision import mixed_precision
from mmdiff_core.training.stage import StageSettings
from mmdiff_core.training.toybox.flow_matching import FlowMatchingBatch, FlowMatchingLoss, FlowMatchingStage
from mmdiff_core.training.toybox.recipes import ConditionMix, Distillation, LossWeights
from mmdiff_core.training.toybox.samples import ToyDataset

STUDENT = "student"
# Ends of the names of the UNet's layers: all matrices and convolutions but those that read and write latents.
LORA_LAYERS = [
    "conv1", "conv2", "conv_shortcut", "conv", "time_emb_proj", "linear_1", "linear_2", "proj_in", "proj_out",
    "to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2",
]  # fmt: skip
FILES_PER_BATCH = 8
FOLDER = "trajectories"


@dataclass(frozen=True)
class StudentBatch:
    """What one step of the student's training sees."""

    conditions: FlowMatchingBatch  # its latents are where the student's step starts
    sigma: Tensor  # (B,) their noise
    velocity: Tensor  # (B, c, h, w) the teacher's mean velocity until the next of the student's steps


class StudentLoss(FlowMatchingLoss):
    """Loss terms of the student; see ``FlowMatchingLoss``."""

    def forward(self, batch: StudentBatch) -> dict[str, Tensor]:  # type: ignore[override]
        return self.terms(batch.conditions.latents, batch.sigma, batch.velocity, batch.conditions)


class StudentStage(FlowMatchingStage):
    """Trains the student's LoRA; teacher, adapter and text encoder are frozen.

    The teacher's trajectories are made before the first step, unless they are there.

    Args:
        trajectories: the folder for them.
        distillation: sizes of the student and of what it learns from.
        others: as of ``FlowMatchingStage``.
    """

    def __init__(
        self, folder: Path, backbone: StableDiffusion, adapter: MMDiffAdapter, dataset: ToyDataset,
        held_out: ToyDataset, settings: StageSettings, losses: LossWeights, mix: ConditionMix, seed: int,
        trajectories: Path, distillation: Distillation,
    ) -> None:  # fmt: skip
        super().__init__(STUDENT, folder, backbone, adapter, dataset, held_out, settings, losses, mix, seed)
        self.distillation, self._folder = distillation, trajectories
        self._fill()
        self._files = [Trajectories.read(path) for path in self._paths()]
        backbone.unet.add_adapter(lora_config(distillation.rank), STUDENT)
        self.backbone = student_of(backbone, backbone.unet, distillation.steps)
        scheduler = self.backbone.fresh_scheduler()
        scheduler.set_timesteps(distillation.steps)
        self._timesteps, self._sigmas = scheduler.timesteps, scheduler.sigmas
        self.network = StudentLoss(self.backbone, adapter, losses, photos=True)

    def _paths(self) -> list[Path]:
        return [self._folder / f"{k:05d}.safetensors" for k in range(-(-self.distillation.images // PER_FILE))]

    def _fill(self) -> None:
        """Let the teacher make the missing trajectories."""
        missing = [path for path in self._paths() if not path.exists()]
        for path in tqdm(missing, desc="the teacher's trajectories", unit="file", disable=not missing):
            self._trace(int(path.stem)).write(path)

    def _trace(self, number: int) -> Trajectories:
        self.seek(number)
        batch, numbers = self.sampled_batch(PER_FILE), self.distillation
        features, teacher = self.network.features(batch), (self.backbone, self.adapter)
        device = self.backbone.unet.device.type
        with torch.autocast(device, torch.bfloat16, enabled=mixed_precision(device) == "bf16"):
            return trace(teacher, batch.tokens, features, self.seed + number, numbers.steps, numbers.teacher_steps)

    def batch(self) -> StudentBatch:  # type: ignore[override]
        """Return images of random files, each at one of the student's steps."""
        files = self.rng.choices(self._files, k=min(FILES_PER_BATCH, self.settings.batch))
        sizes = [len(part) for part in torch.arange(self.settings.batch).tensor_split(len(files))]
        rows = zip(files, sizes, strict=True)
        return self._batch_of(join_trajectories([_draw(self.rng, file, size) for file, size in rows]))

    def _batch_of(self, images: Trajectories) -> StudentBatch:
        device = self.backbone.unet.device
        step = torch.tensor([self.rng.randrange(self.distillation.steps) for _ in images.ids])
        rows = torch.arange(len(step))
        start, end = (images.states[rows, at].to(device).float() for at in (step, step + 1))
        fall = (self._sigmas[step] - self._sigmas[step + 1]).to(device)
        present = images.photos.to(device)
        conditions = FlowMatchingBatch(
            latents=start.to(memory_format=torch.channels_last),
            masks=images.regions.to(device).float(),
            tokens=PromptTokens(images.ids, images.words),
            photos=present,
            features=ImageFeatures(images.cls.to(device).float(), images.patches.to(device).float(), present),
        )
        noise = self._timesteps[step] / self.backbone.scheduler.config.num_train_timesteps
        return StudentBatch(conditions, noise.to(device), (start - end) / fall[:, None, None, None])

    def finish(self) -> Mapping[str, float]:
        """Write the student next to the model; return its number of parameters."""
        self.network.eval()
        save_student(self.backbone.unet, STUDENT, self.distillation.steps, self.folder)
        return {"parameters": sum(parameter.numel() for parameter in self.trained())}


def lora_config(rank: int) -> LoraConfig:
    """Return what the student may change: every layer of the UNet by a matrix of that rank."""
    return LoraConfig(r=rank, lora_alpha=rank, target_modules=LORA_LAYERS)


def _draw(rng: random.Random, file: Trajectories, count: int) -> Trajectories:
    """Return random images of a file."""
    return file.take(rng.choices(range(len(file.ids)), k=count))
