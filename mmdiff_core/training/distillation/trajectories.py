"""The teacher's way from noise to an image, which the student learns to go in fewer steps.

Each file of the folder holds ``PER_FILE`` images: their latents at the student's steps, what conditions them, and where
the teacher's heatmaps place each subject. A file follows from its number, so that a run may be stopped at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmdiff_core.atomic_files import atomic_file
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.generation.sampling import SampleSettings, sample
from mmdiff_core.maps.attention_maps import Recorder, average_maps
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.records import ImageFeatures, PromptTokens
from mmdiff_core.types import Recording

PER_FILE = 32
HALF = 0.5  # of a heatmap's range: above it is the subject's region, as in the page's outlines
PERCENTILE = 0.99  # the top of that range, as in maps.heatmap


@dataclass(frozen=True)
class Trajectories:
    """n images on their way from noise; K student steps lead from each state to the next one."""

    states: Tensor  # float16 (n, K + 1, c, h, w)
    regions: Tensor  # bool (n, S, g, g), where each subject is; nowhere for one without photos
    ids: Tensor  # long (n, T)
    words: Tensor  # long (n, S)
    photos: Tensor  # bool (n, S, P), the photos that are seen
    cls: Tensor  # float16 (n, S, P, Dv)
    patches: Tensor  # float16 (n, S, P, M, Dh)

    def write(self, path: Path) -> None:
        """Write a file."""
        with atomic_file(path) as temporary:
            save_file({field.name: getattr(self, field.name).contiguous().cpu() for field in fields(self)}, temporary)

    @classmethod
    def read(cls, path: Path) -> Trajectories:
        """Open a file; its tensors are memory-mapped."""
        with safe_open(path, framework="pt") as file:
            return cls(**{field.name: file.get_tensor(field.name) for field in fields(cls)})

    def take(self, rows: Sequence[int]) -> Trajectories:
        """Return some of the images."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return Trajectories(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def join_trajectories(parts: Sequence[Trajectories]) -> Trajectories:
    """Concatenate trajectories."""
    names = [field.name for field in fields(Trajectories)]
    return Trajectories(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@torch.no_grad()
def trace(
    teacher: tuple[StableDiffusion, MMDiffAdapter],
    tokens: PromptTokens,
    features: ImageFeatures,
    seed: int,
    student_steps: int,
    teacher_steps: int,
) -> Trajectories:
    """Let the teacher make images, with its own solver and guidance.

    Args:
        teacher: the model and its adapter.
        tokens: n prompts.
        features: of their photos; those that are seen are present.
        seed: of the noise.
        student_steps: K; the states between them are kept.
        teacher_steps: a multiple of K.
    """
    backbone, adapter = teacher
    width, height = backbone.sizes.default
    condition = build_condition(
        backbone, adapter, adapter.weights(backbone.unet), [tokens], adapter.embed(features),
        features.present.any(-1).float(), size=(width, height), negative=[tokenize(backbone.tokenizers[0], "")],
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    noise = torch.cat([backbone.draw_noise(generator, width, height) for _ in tokens.ids])
    settings = SampleSettings(seed, teacher_steps, backbone.defaults.guidance, 0, width, height)
    recorder, heatmaps, states = Recorder(Recording(("image",))), [], [noise]
    for state in sample(backbone, condition, condition, settings, recorder, latents=noise):
        heatmaps += [layer.kinds["image"] for layer in recorder.layers if "image" in layer.kinds]
        if state.step % (teacher_steps // student_steps) == 0:
            states.append(state.latents)
    regions = subject_regions(average_maps(heatmaps, (noise.shape[-2], noise.shape[-1])), features.present.any(-1))
    return Trajectories(
        torch.stack(states, 1).half(), regions, tokens.ids, tokens.words, features.present,
        features.cls.half(), features.patches.half(),
    )  # fmt: skip


def subject_regions(heatmaps: Tensor, present: Tensor) -> Tensor:
    """Return where each subject's heatmap is above half of its range and above the others', bool (n, S, g, g).

    Args:
        heatmaps: (n, S, g, g).
        present: (n, S) bool; the others have no region.
    """
    low = heatmaps.amin((-2, -1), keepdim=True)
    high = heatmaps.flatten(2).quantile(PERCENTILE, -1)[..., None, None]
    strength = (heatmaps - low) / (high - low).clamp(min=1e-6) * present[..., None, None]
    return (strength > HALF) & (strength == strength.amax(1, keepdim=True))
