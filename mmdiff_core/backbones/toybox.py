"""Toybox, the small model that ships with the project: stock Stable Diffusion parts at small size.

Its folder opens with plain ``StableDiffusionPipeline.from_pretrained``; beside the stock parts it holds
``adapter.safetensors``, ``preview.json`` (``matrix`` c x 3, ``bias`` 3) and ``vocabulary.json``, and may hold a student
for few steps::

    few_steps/pytorch_lora_weights.safetensors    a LoRA on the UNet, as ``pipe.load_lora_weights`` reads it
    few_steps/student.json                        ``steps``, what it was made for; guidance is folded in
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from peft import get_peft_model_state_dict
from safetensors import SafetensorError

from mmdiff_core.atomic_files import atomic_folder
from mmdiff_core.backbones.base import Backbone, Defaults
from mmdiff_core.backbones.distillation import NO_GUIDANCE
from mmdiff_core.backbones.preview import LatentPreview
from mmdiff_core.backbones.schedulers import DISTILLED, change_solver
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stable_diffusion
from mmdiff_core.errors import ModelError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary, load_vocabulary

FOLDER = Path(__file__).parents[2] / "assets" / "toybox"
DEFAULTS = Defaults(steps=20, guidance=3.0)
FAST = Defaults(steps=8, guidance=3.0)  # by "python -m mmdiff_core presets": no less like the photos than twenty
NEEDED = ("model_index.json", "adapter.safetensors", "preview.json")
STUDENT_FOLDER, STUDENT_WEIGHTS, STUDENT_NUMBERS = "few_steps", "pytorch_lora_weights.safetensors", "student.json"
STUDENT_SOLVER = "ddim"  # first-order: one mean velocity a step is all that the student knows


@dataclass(frozen=True, eq=False)
class Toybox(StableDiffusion):
    """A model of the rendered world, which tells what of that world its weights were trained on."""

    vocabulary: Vocabulary
    student: StableDiffusion | None = None  # the same model with the UNet for few steps

    @property
    def fast(self) -> Defaults:
        return FAST if self.student is None else self.student.defaults

    @property
    def schedulers(self) -> tuple[str, ...]:
        return (*super().schedulers, *(() if self.student is None else (DISTILLED,)))

    def sampled_by(self, scheduler: str | None) -> tuple[Backbone, str | None]:
        if scheduler == DISTILLED and self.student is not None:
            return self.student, None
        return self, scheduler

    def around(self, pipe: DiffusionPipeline) -> Self:
        return replace(super().around(pipe), student=None)

    def moved_to(self, device: str | torch.device) -> Self:
        student = None if self.student is None else self.student.moved_to(device)
        return replace(super().moved_to(device), student=student)


def is_toybox(folder: str | PathLike[str]) -> bool:
    """Whether the folder has all the files of a built-in model."""
    return all((Path(folder) / name).is_file() for name in NEEDED)


def load_toybox(
    folder: str | PathLike[str] = FOLDER,
    device: str | torch.device = "cpu",
    adapter: str | PathLike[str] | None = None,
) -> tuple[Toybox, MMDiffAdapter]:
    """Load the built-in model and its adapter, in float32; ``adapter`` is another file to use.

    Raises:
        ModelError: the folder or a part of it is missing, or its vocabulary or its student cannot be read.
    """
    folder = Path(folder)
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f'The built-in model is incomplete: {", ".join(missing)} not found in "{folder}". Get the complete '
            'repository, with its "assets" folder, or train the model with "python -m mmdiff_core train toybox".'
        )
    vocabulary = load_vocabulary(folder)
    preview = _load_preview(folder / "preview.json")
    weights = adapter or folder / "adapter.safetensors"
    backbone, loaded = load_stable_diffusion(folder, weights, device=device, preview=preview)
    assert loaded is not None  # a file was given
    parts = {field.name: getattr(backbone, field.name) for field in fields(backbone)}
    sizes = replace(backbone.sizes, largest=2 * backbone.sizes.default[0])  # toys fall apart in larger ones
    own = {"name": "toybox", "defaults": DEFAULTS, "sizes": sizes, "vocabulary": vocabulary}
    toybox = Toybox(**{**parts, **own})
    return replace(toybox, student=_load_student(toybox, folder / STUDENT_FOLDER)), loaded


def _load_preview(file: Path) -> LatentPreview:
    try:
        values = json.loads(file.read_text())
        return LatentPreview(torch.tensor(values["matrix"]), torch.tensor(values["bias"]))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f'"{file}" is damaged: get it again with the other files of the model.') from error


# ---------------------------------------------------------------- the student for few steps


def _load_student(toybox: Toybox, folder: Path) -> StableDiffusion | None:
    """Return the model with the UNet for few steps; None where the folder has none."""
    if not folder.exists():
        return None
    try:
        steps = int(json.loads((folder / STUDENT_NUMBERS).read_text())["steps"])
        unet = copy.deepcopy(toybox.unet)
        unet.load_lora_adapter(folder, prefix="unet", weight_name=STUDENT_WEIGHTS, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f'The student for few steps in "{folder}" is damaged: get the folder again with the other files of the '
            "model, or delete it, which leaves the model without."
        ) from error
    unet.fuse_lora()
    unet.unload_lora()
    return student_of(toybox, unet, steps)


def student_of(model: StableDiffusion, unet: UNet2DConditionModel, steps: int) -> StableDiffusion:
    """Return a model with the UNet of its student, which needs no guidance, and with the solver that it is for."""
    names = [field.name for field in fields(StableDiffusion)]
    parts = {name: getattr(model, name) for name in names}
    scheduler = change_solver(model.scheduler, STUDENT_SOLVER)
    defaults = Defaults(steps, NO_GUIDANCE, few=True, scheduler=DISTILLED)
    return StableDiffusion(**{**parts, "unet": unet, "scheduler": scheduler, "defaults": defaults})


def save_student(unet: UNet2DConditionModel, lora: str, steps: int, model: Path) -> None:
    """Write a student into a model's folder, in half precision.

    Args:
        unet: the network that bears its LoRA.
        lora: that one's name in the network.
        steps: what it is for.
        model: the folder.
    """
    weights = {name: value.half() for name, value in get_peft_model_state_dict(unet, adapter_name=lora).items()}
    with atomic_folder(model / STUDENT_FOLDER) as temporary:
        StableDiffusionPipeline.save_lora_weights(temporary, weights, weight_name=STUDENT_WEIGHTS)
        (temporary / STUDENT_WEIGHTS).chmod(0o644)
        (temporary / STUDENT_NUMBERS).write_text(json.dumps({"steps": steps}) + "\n", encoding="utf-8")
