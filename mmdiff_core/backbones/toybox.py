"""Toybox, the small model that ships with the project: stock Stable Diffusion parts at small size."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path

import torch

from mmdiff_core.backbones.base import Defaults
from mmdiff_core.backbones.preview import LatentPreview
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stable_diffusion
from mmdiff_core.errors import ModelError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary, load_vocabulary

FOLDER = Path(__file__).parents[2] / "assets" / "toybox"
DEFAULTS = Defaults(steps=20, guidance=3.0)
FAST = Defaults(steps=8, guidance=3.0)  # by "python -m mmdiff_core presets": no less like the photos than twenty
NEEDED = ("model_index.json", "adapter.safetensors", "preview.json")


@dataclass(frozen=True, eq=False)
class Toybox(StableDiffusion):
    """A model of the rendered world, which tells what of that world its weights were trained on."""

    vocabulary: Vocabulary

    @property
    def fast(self) -> Defaults:
        return FAST


def is_toybox(folder: str | PathLike[str]) -> bool:
    """Whether the folder has all the files of a built-in model."""
    return all((Path(folder) / name).is_file() for name in NEEDED)


def load_toybox(
    folder: str | PathLike[str] = FOLDER,
    device: str | torch.device = "cpu",
    adapter: str | PathLike[str] | None = None,
) -> tuple[Toybox, MMDiffAdapter]:
    """Load the built-in model and its adapter, in float32.

    The folder opens with plain ``StableDiffusionPipeline.from_pretrained``; beside the stock parts it holds
    ``adapter.safetensors``, ``preview.json`` (``matrix`` c x 3, ``bias`` 3) and ``vocabulary.json``. ``adapter`` is
    another file to use.

    Raises:
        ModelError: the folder or a part of it is missing, or its vocabulary cannot be read.
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
    return Toybox(**{**parts, **own}), loaded


def _load_preview(file: Path) -> LatentPreview:
    try:
        values = json.loads(file.read_text())
        return LatentPreview(torch.tensor(values["matrix"]), torch.tensor(values["bias"]))
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f'"{file}" is damaged: get it again with the other files of the model.') from error
