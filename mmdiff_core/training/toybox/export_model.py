"""A trained model as the folder that ships, in half precision."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from mmdiff_core.atomic_files import atomic_folder
from mmdiff_core.backbones.stable_diffusion import StableDiffusion
from mmdiff_core.backbones.toybox import STUDENT_FOLDER, load_toybox
from mmdiff_core.errors import SettingsError
from mmdiff_core.weights.adapter_file import save_adapter
from mmdiff_core.weights.integrity import INDEX

LARGEST_FILE = "30MB"


def export_model(model: Path, folder: Path) -> int:
    """Write a model folder in half precision, as it ships; return its size in bytes.

    An older model in the folder is replaced.

    Raises:
        ModelError: ``model`` is no model folder.
        SettingsError: ``folder`` has other contents than a model, or contains ``model``.
    """
    if folder.exists() and not (folder / INDEX).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f'"{folder}" has other contents than a model, which would be lost: choose a new folder.')
    if model.resolve() != folder.resolve() and (model.resolve().is_relative_to(folder.resolve())):
        raise SettingsError(f'"{folder}" contains the model to export, "{model}": choose another folder.')
    backbone, adapter = load_toybox(model)
    with atomic_folder(folder) as temporary:
        shutil.copytree(model, temporary, ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
        _save_half(backbone, temporary)
        if (model / STUDENT_FOLDER).exists():  # in half precision already
            shutil.copytree(model / STUDENT_FOLDER, temporary / STUDENT_FOLDER, dirs_exist_ok=True)
        save_adapter(adapter, temporary / "adapter.safetensors", dtype=torch.float16)
        for file in temporary.rglob("*.safetensors"):
            file.chmod(0o644)  # temporary files can be read by their owner alone
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _save_half(backbone: StableDiffusion, folder: Path) -> None:
    assert backbone.image_encoder is not None
    backbone.unet.half().save_pretrained(folder / "unet", max_shard_size=LARGEST_FILE)
    backbone.vae.half().save_pretrained(folder / "vae")
    backbone.text_encoders[0].half().save_pretrained(folder / "text_encoder")
    backbone.image_encoder.model.half().save_pretrained(folder / "image_encoder")
    for config in folder.glob("*/config.json"):
        values = json.loads(config.read_text())
        values.pop("_name_or_path", None)  # a path of the machine that trained it
        if "dtype" in values:  # transformers opens a model in this precision, diffusers its own in float32
            values["dtype"] = "float32"
        config.write_text(json.dumps(values, indent=2) + "\n")
