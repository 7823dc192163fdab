"""What is in a model's one file: of which kind it is, by the names and shapes of its tensors. No weights are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError, safe_open

from mmdiff_core.errors import ModelError

Family = Literal["sd1", "sd2", "sdxl"]
Shape = tuple[int, ...]

UNET, VAE = "model.diffusion_model.", "first_stage_model."
# Of the text encoders of each family, CLIP's own and OpenCLIP's.
TEXT: Mapping[Family, tuple[str, ...]] = {
    "sd1": ("cond_stage_model.transformer.",),
    "sd2": ("cond_stage_model.model.",),
    "sdxl": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
}
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
LATENTS = 4  # channels
# What else comes as one file, by a part of a tensor's name.
STRANGERS = {
    "lora_": "a LoRA, which is added to a model: load it into a pipeline, and the pipeline with of_pipeline",
    "to_k_ip": "an IP-Adapter: give it with --adapter",
    "joint_blocks.": "a Stable Diffusion 3",
    "double_blocks.": "a Flux",
    "conditioner.embedders.0.model.": "the refiner of SDXL, which has one text encoder of its own",
    "down_blocks.": "a single network in diffusers' names",
    "control_model.": "a ControlNet",
}


@dataclass(frozen=True)
class Checkpoint:
    """The header of a file that holds a whole model."""

    path: Path
    family: Family
    shapes: Mapping[str, Shape]
    metadata: Mapping[str, str]

    def inside(self, prefix: str) -> dict[str, Shape]:
        """Return the shapes of one network's tensors, without its prefix."""
        return {name.removeprefix(prefix): x for name, x in self.shapes.items() if name.startswith(prefix)}

    @property
    def is_playground(self) -> bool:
        """Whether it is Playground v2.5, which brings the statistics of its latents."""
        return "edm_mean" in self.shapes

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether its noise schedule ends in pure noise."""
        return "ztsnr" in self.shapes

    @property
    def prediction_type(self) -> str | None:
        """Return what its UNet predicts, where the file or the YAML beside it says so."""
        named = self.metadata.get("modelspec.prediction_type", "").lower()
        if "v_pred" in self.shapes or named.startswith("v"):
            return "v_prediction"
        if named.startswith("eps"):
            return "epsilon"
        described = self.path.with_suffix(".yaml")
        if not described.is_file():
            return None
        says_v = re.search(r"""parameterization:\s*["']?v\b""", described.read_text(errors="replace"))
        return "v_prediction" if says_v else "epsilon"


def find_file(source: str | PathLike[str]) -> Path | None:
    """Return the file of a model that is one file, on disk or in the hub's cache; None if the name is of another kind.

    Raises:
        ModelError: it is named as a file, and is not here.
    """
    path, name = Path(source), str(source)
    if path.is_file():
        return path
    if path.suffix not in (".safetensors", *PICKLES) or path.is_dir():
        return None
    parts = path.as_posix().split("/")
    if len(parts) > 2 and not name.startswith(("/", "~", ".")):
        cached = try_to_load_from_cache("/".join(parts[:2]), "/".join(parts[2:]), cache_dir=constants.HF_HUB_CACHE)
        if isinstance(cached, str):
            return Path(cached)
    raise ModelError(f'The model "{source}" is not here: there is no such file.')


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file's header.

    Raises:
        ModelError: it is no Stable Diffusion 1.x, 2.x or XL, lacks a part, or is damaged.
    """
    if path.suffix in PICKLES:
        raise ModelError(
            f'The file "{path}" is a pickle, which may hold a program and is never opened here: get the model as '
            "a .safetensors file, or convert it."
        )
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f'The model "{path}" cannot be read: it is no .safetensors file, is damaged or was cut off, so get it '
            f"again. ({error})"
        ) from error
    checkpoint = Checkpoint(path, _family(path, shapes), shapes, metadata)
    _check_parts(checkpoint)
    return checkpoint


def _family(path: Path, shapes: Mapping[str, Shape]) -> Family:
    for family in ("sdxl", "sd2", "sd1"):  # the last text encoder is no other family's
        if _has(shapes, TEXT[family][-1]):
            return family
    kind = next((kind for part, kind in STRANGERS.items() if any(part in name for name in shapes)), None)
    told = f"it is {kind}" if kind else "it has no text encoder under a name that is known"
    raise ModelError(f'The file "{path}" is no whole Stable Diffusion 1.x, 2.x or XL: {told}.')


def _check_parts(checkpoint: Checkpoint) -> None:
    parts = {"UNet": UNET, "autoencoder": VAE, "text encoder": TEXT[checkpoint.family][0]}
    missing = [part for part, prefix in parts.items() if not _has(checkpoint.shapes, prefix)]
    if missing:
        raise ModelError(
            f'The file "{checkpoint.path}" has no {" and no ".join(missing)}: get the model with all its parts in one '
            "file, or as a folder in diffusers' format."
        )
    channels = checkpoint.inside(UNET).get("input_blocks.0.0.weight", (0, 0))[1]
    if channels != LATENTS:
        raise ModelError(
            f'The UNet of "{checkpoint.path}" reads {channels} channels, not {LATENTS}: it is for inpainting or '
            "another task that starts from an image. Open it with diffusers, and call Personalizer.attach(pipe)."
        )


def _has(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)
