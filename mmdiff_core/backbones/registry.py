"""From the name or the folder of a model to the class that runs it, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from diffusers import DiffusionPipeline

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.loading import pipeline_class_name, pipeline_name_of
from mmdiff_core.backbones.placement import Offloading
from mmdiff_core.backbones.stable_diffusion import StableDiffusion, load_stock
from mmdiff_core.backbones.stable_diffusion_xl import StableDiffusionXL
from mmdiff_core.backbones.toybox import FOLDER, NEEDED, is_toybox, load_toybox
from mmdiff_core.deprecation import renamed_keywords
from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.weights.hub import CLIP, HUB_MODELS, INDEX, cached_models, download_command, find_folder, size_on_disk
from mmdiff_core.weights.hub_adapters import adapters_in_cache
from mmdiff_core.weights.insightface_models import FACES, FACES_GIGABYTES, face_folder
from mmdiff_core.weights.integrity import pipeline_problems, weight_problems
from mmdiff_core.weights.ip_adapter import is_ip_adapter

TOYBOX = "toybox"
KINDS: dict[str, type[StableDiffusion]] = {kind.stock.__name__: kind for kind in (StableDiffusion, StableDiffusionXL)}
UNKNOWN = "unknown"
TITLES = {"StableDiffusionPipeline": "Stable Diffusion", "StableDiffusionXLPipeline": "Stable Diffusion XL"}

Where = Literal["built-in", "folder", "hub cache", "hub"]


@dataclass(frozen=True)
class AvailableModel:
    """One line of a menu of models."""

    key: str  # what ``load_backbone``, ``--model`` and ``--base`` take
    title: str
    where: Where  # "hub": not on this machine
    present: bool  # whether it can be loaded now
    complete: bool  # whether it brings its own adapter, so that it is a ``--model`` and not a ``--base``
    size: int | None = None  # bytes on disk; None if nothing is there
    missing: str = ""  # what is wrong with it, if it is not present
    how_to_get: str = ""  # what to type for it, if it is not present
    helper: bool = False  # no model of its own, but what adapters see photos with
    adapter: bool = False  # no model of its own, but what ``--adapter`` takes
    download: float | None = None  # gigabytes to fetch, if nothing is there


@renamed_keywords("load_backbone", memory="offload")
def load_backbone(
    model: str | PathLike[str] = TOYBOX,
    adapter: str | PathLike[str] | None = None,
    image_encoder: str | PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    offload: Offloading = "none",
    text_encoder_2_lora: bool = False,
) -> tuple[Backbone, MMDiffAdapter | None]:
    """Load the built-in model by the name "toybox", or a Stable Diffusion by its folder, file or hub name.

    A folder that training wrote brings its own adapter and preview, as the built-in one does; it is small, and always
    runs in float32. The other arguments are those of ``stable_diffusion.load_stock``.

    Raises:
        ModelError: something is missing or of a kind that is not known; the message says what to do.
        CheckpointError: the adapter does not fit the model.
        SettingsError: the offloading mode or a flag does not suit the model.
    """
    if model == TOYBOX or is_toybox(model):
        if text_encoder_2_lora:
            raise SettingsError("This model has one text encoder: leave --text-encoder-2-lora out.")
        return load_toybox(FOLDER if model == TOYBOX else model, device, adapter)
    kind = pipeline_name_of(model)
    if kind not in KINDS:
        raise ModelError(f'The model "{model}" is a {kind}; only {" and ".join(KINDS)} can be used.')
    return load_stock(
        KINDS[kind], model, adapter, image_encoder, device, dtype,
        offload=offload, text_encoder_2_lora=text_encoder_2_lora,
    )  # fmt: skip


def backbone_class(pipe: DiffusionPipeline) -> type[StableDiffusion]:
    """Return the class that runs a stock pipeline's networks, whatever the pipeline does with them.

    Raises:
        ModelError: they are neither Stable Diffusion's nor SDXL's.
    """
    if not all(hasattr(pipe, part) for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler")):
        raise ModelError(f"A {type(pipe).__name__} has no UNet with a text encoder, so MM-Diff cannot work in it.")
    return StableDiffusionXL if hasattr(pipe, "text_encoder_2") else StableDiffusion


def available_models(folders: Sequence[str | PathLike[str]] = ()) -> tuple[AvailableModel, ...]:
    """Return what can be loaded: the built-in model, the folders, the hub's cache, and what the hub offers.

    Args:
        folders: each is a model, in a folder or in one file, or holds models one level deeper.
    """
    cached = tuple(_cached())
    names = {model.key for model in cached}
    absent = (
        AvailableModel(m.name, m.title, "hub", False, False, how_to_get=download_command(m.name), download=m.gigabytes)
        for m in HUB_MODELS
        if m.name not in names and m.name != CLIP
    )
    return (_built_in(), *_in_folders(folders), *cached, *absent)


def cached_adapters() -> Iterator[AvailableModel]:
    """Yield the adapters in the hub's cache."""
    for name, path in adapters_in_cache():
        title = "IP-Adapter" if is_ip_adapter(path) else "MM-Diff's weights"
        yield AvailableModel(name, title, "hub cache", True, False, path.stat().st_size, adapter=True)


def image_encoder_state() -> AvailableModel:
    """Look for the CLIP image encoder of Stable Diffusion's adapters in the hub's cache."""
    clip = next(model for model in HUB_MODELS if model.name == CLIP)
    try:
        folder = find_folder(CLIP, "config.json")
    except ModelError:
        get = download_command(CLIP)
        return AvailableModel(
            CLIP, clip.title, "hub", False, False, how_to_get=get, helper=True, download=clip.gigabytes
        )
    problem = next(weight_problems(folder), "")
    return AvailableModel(
        CLIP, clip.title, "hub cache", not problem, False, size_on_disk(folder), problem,
        download_command(CLIP) if problem else "", helper=True,
    )  # fmt: skip


def face_state() -> AvailableModel:
    """Look for the face finder and its models, for adapters that read faces."""
    title = "Faces for portrait adapters, for non-commercial research"
    folder, get = face_folder(), download_command(FACES)
    if not any(folder.glob("*.onnx")):
        return AvailableModel(FACES, title, "hub", False, False, how_to_get=get, helper=True, download=FACES_GIGABYTES)
    return AvailableModel(FACES, title, "folder", True, False, size_on_disk(folder), helper=True)


def _built_in() -> AvailableModel:
    missing = [name for name in NEEDED if not (FOLDER / name).is_file()]
    cure = 'get the complete repository, with its "assets" folder' if missing else ""
    told = f"{', '.join(missing)} not found" if missing else ""
    size = size_on_disk(FOLDER) if FOLDER.is_dir() else None
    return AvailableModel(TOYBOX, "Toybox, rendered toys", "built-in", not missing, True, size, told, cure)


def _in_folders(folders: Sequence[str | PathLike[str]]) -> Iterator[AvailableModel]:
    for folder in map(Path, folders):
        inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        for path in (folder, *inside):
            if (path / INDEX).is_file():
                yield _on_disk(str(path), path, "folder", "copy the folder again")
        for file in [folder] if folder.is_file() else sorted(folder.glob("*.safetensors")):
            with suppress(ModelError):  # of something else
                title = f"{TITLES[pipeline_name_of(file)]}, one file"
                yield AvailableModel(str(file), title, "folder", True, False, file.stat().st_size)


def _cached() -> Iterator[AvailableModel]:
    for name in cached_models():
        try:
            folder = find_folder(name)
        except ModelError:
            continue  # a repository of something else
        model = _on_disk(name, folder, "hub cache", download_command(name))
        if model.title in (*TITLES.values(), UNKNOWN):
            yield model


def _on_disk(key: str, folder: Path, where: Where, cure: str) -> AvailableModel:
    """Describe a model whose folder is here, complete or not."""
    try:
        kind = pipeline_class_name(folder)
    except ModelError as error:
        return AvailableModel(key, UNKNOWN, where, False, False, size_on_disk(folder), str(error), cure)
    problem = next(pipeline_problems(folder), "")
    if kind not in KINDS:
        problem, cure = f"a {kind} cannot be used", "choose another model"
    complete = is_toybox(folder)
    title = "Toybox, trained here" if complete else TITLES.get(kind, kind)
    return AvailableModel(
        key, title, where, not problem, complete, size_on_disk(folder), problem, cure if problem else ""
    )
