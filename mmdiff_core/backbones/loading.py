"""Opening stock model folders, with messages that say what to do when one is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import PreTrainedModel

from mmdiff_core.backbones.placement import (
    Offloading,
    Placement,
    choose_offloading,
    footprint,
    free_memory,
    save_decoder_memory,
)
from mmdiff_core.backbones.processors import cross_attention_layers, self_attention_layers
from mmdiff_core.backbones.single_file.checkpoint import find_file, read_checkpoint
from mmdiff_core.backbones.single_file.derived_configs import text_configs, unet_config
from mmdiff_core.backbones.single_file.open_file import open_checkpoint, pipeline_class
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.errors import CheckpointError, ModelError, SettingsError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.numeric_checks import check_finite_weights
from mmdiff_core.types import Size
from mmdiff_core.weights.adapter_file import AdapterFile
from mmdiff_core.weights.any_adapter import BaseLayers, open_adapter
from mmdiff_core.weights.hub import find_folder, first_line, variant_of
from mmdiff_core.weights.integrity import check_pipeline_files, load_network

SMALLEST_LATENT = 32  # pixels a side of the latents that any model is let go down to: 256 pixels of an image
# SDXL was trained on shapes of about the area of the square (appendix I of arXiv 2307.01952); these are in use:
# (width, height) in sixteenths of the side of the square.
_SDXL_SHAPES = ((18, 14), (14, 18), (19, 13), (13, 19), (21, 12), (12, 21), (24, 10), (10, 24))
USUAL_LATENT = 64  # that any model is let go up to, those for trials among them: 512 pixels of an image
# The shape of SDXL base 1.0, which the official checkpoint was made for.
SDXL_UNET = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
}
SD15_UNET = {"cross_attention_dim": 768, "attention_head_dim": 8}  # all else is diffusers' default
SDXL_CONTEXT = 2048
# By D: the UNet, and the widths of the text encoders.
KNOWN_BASES: Mapping[int, tuple[Mapping[str, object], tuple[int, ...]]] = {
    768: (SD15_UNET, (768,)),
    SDXL_CONTEXT: (SDXL_UNET, (768, 1280)),
}

# Pipelines whose networks are those of another, which does all that they do.
SAME_NETWORKS = {"LatentConsistencyModelPipeline": "StableDiffusionPipeline"}


def open_pipeline(kind: type[DiffusionPipeline], source: str | PathLike[str], dtype: torch.dtype) -> DiffusionPipeline:
    """Open a stock pipeline on the CPU, from a folder, one file or the hub's cache; nothing is downloaded.

    Raises:
        ModelError: there is no such model here, it is not complete, or it is of another kind.
    """
    found = pipeline_name_of(source)
    if found != kind.__name__:
        raise ModelError(f'The model "{source}" is a {found}, but a {kind.__name__} is needed.')
    file = find_file(source)
    pipe = _open_folder(kind, source, dtype) if file is None else open_checkpoint(read_checkpoint(file), dtype)
    pipe.register_to_config(_name_or_path=str(source))
    if pipe.vae.config.force_upcast and dtype != torch.float32:
        pipe.vae.to(torch.float32)
    return pipe


def _open_folder(kind: type[DiffusionPipeline], source: str | PathLike[str], dtype: torch.dtype) -> DiffusionPipeline:
    folder = find_folder(source)
    check_pipeline_files(folder, source)
    index = _index(folder)
    unused = {"safety_checker": None, "requires_safety_checker": False} if "safety_checker" in index else {}
    try:
        networks = {
            name: load_network(network, folder / name, source, dtype=dtype, variant=variant_of(folder / name))
            for name, network in _network_classes(index).items()
        }
        pipe = kind.from_pretrained(folder, local_files_only=True, **networks, **unused)
    except ModelError:
        raise
    except (OSError, ValueError, ImportError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f'The model "{source}" cannot be opened: a file in "{folder}" is damaged or of another kind. Get the model '
            f"again. ({first_line(error)})"
        ) from error
    check_finite_weights(networks, source)
    return pipe


def pipeline_name_of(source: str | PathLike[str]) -> str:
    """Return the class of the stock pipeline of a model: a folder, a file, or a name in the hub's cache.

    Raises:
        ModelError: it is not here, or no model.
    """
    file = find_file(source)
    return pipeline_class_name(find_folder(source)) if file is None else pipeline_class(read_checkpoint(file)).__name__


def pipeline_class_name(folder: Path) -> str:
    """Return the class named in a stock model's ``model_index.json``, or the one that runs the same networks."""
    name = str(_index(folder).get("_class_name"))
    return SAME_NETWORKS.get(name, name)


def _index(folder: Path) -> dict[str, object]:
    try:
        return json.loads((folder / "model_index.json").read_text())
    except ValueError as error:
        raise ModelError(f'The file "{folder / "model_index.json"}" is damaged: get the model again.') from error


def _network_classes(index: Mapping[str, object]) -> dict[str, type[nn.Module]]:
    """Return the class of each network of a pipeline; tokenizers and schedulers are none."""
    libraries = {"diffusers": diffusers, "transformers": transformers}
    entries = {name: entry for name, entry in index.items() if isinstance(entry, list)}
    kinds = {name: getattr(libraries.get(entry[0]), str(entry[1]), None) for name, entry in entries.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, nn.Module)}


def quiet_libraries() -> None:
    """Keep diffusers and transformers from drawing their own progress bars; for programs, not for libraries."""
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


# ---------------------------------------------------------------- the adapter


def load_matching_adapter(
    source: str | PathLike[str] | None,
    pipe: DiffusionPipeline,
    device: torch.device,
    dtype: torch.dtype,
    text_encoder_2_lora: bool = False,
) -> AdapterFile | None:
    """Load an adapter of any kind and check that it fits; None without a source.

    Args:
        source: as for :func:`open_adapter`.
        pipe: the model that it is for.
        device, dtype: where the adapter works, and in what precision.
        text_encoder_2_lora: apply the official LoRA of the second text encoder, which the release never does.

    Raises:
        CheckpointError: it is not an adapter, or was made for another model.
        SettingsError: there is no such LoRA in it.
    """
    if source is None:
        return None
    checkpoint = open_adapter(source, layers_of(pipe))
    if text_encoder_2_lora:
        apply_second_text_lora(checkpoint.adapter)
    check_adapter(checkpoint.adapter, pipe, source)
    checkpoint.adapter.to(device, dtype).eval().requires_grad_(False)
    return checkpoint


def layers_of(pipe: DiffusionPipeline) -> BaseLayers:
    """Return the layers of an open pipeline."""
    widths = tuple(encoder.config.hidden_size for encoder in _text_encoders(pipe))
    return BaseLayers(cross_attention_layers(pipe.unet), self_attention_layers(pipe.unet), widths)


def layers_of_base(base: str | PathLike[str] | None = None, context: int = SDXL_CONTEXT) -> BaseLayers:
    """Return the layers of a model that is not open; no weights are read.

    Args:
        base: folder, file or hub name of a model; by default the layers of SDXL base 1.0 or Stable Diffusion 1.5 are
            returned, without having it.
        context: D of the default.

    Raises:
        ModelError: the base is not here, or nothing is known of that width.
    """
    if base is not None and (file := find_file(base)) is not None:
        checkpoint = read_checkpoint(file)
        widths = tuple(x["hidden_size"] for x in text_configs(checkpoint))
        config: Mapping[str, object] = unet_config(checkpoint)
    elif base is not None:
        folder = find_folder(base)
        config = UNet2DConditionModel.load_config(folder / "unet")
        found = sorted(folder.glob("text_encoder*/config.json"))
        widths = tuple(json.loads(file.read_text())["hidden_size"] for file in found)
    elif context in KNOWN_BASES:
        config, widths = KNOWN_BASES[context]
    else:
        raise ModelError(f"The adapter is for a base model with a context of {context} channels: give it with --base.")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    return BaseLayers(cross_attention_layers(unet), self_attention_layers(unet), widths)


def _text_encoders(pipe: DiffusionPipeline) -> list[PreTrainedModel]:
    return [x for x in (pipe.text_encoder, getattr(pipe, "text_encoder_2", None)) if x is not None]


def apply_second_text_lora(adapter: MMDiffAdapter) -> None:
    """Switch on the second text encoder's LoRA, which an official checkpoint has but the release drops.

    Raises:
        SettingsError: the adapter has none.
    """
    towers = adapter.config.text_towers
    if len(towers) < 2 or towers[1].rank == 0:
        raise SettingsError("The adapter has no LoRA for a second text encoder: leave --text-encoder-2-lora out.")
    adapter.config = replace(adapter.config, text_towers=(towers[0], replace(towers[1], lora_active=True)))


def check_adapter(adapter: MMDiffAdapter, pipe: DiffusionPipeline, source: str | PathLike[str] = "adapter") -> None:
    """Check that an adapter was made for a pipeline's networks.

    Raises:
        CheckpointError: it was not; the message says which part differs.
    """
    check_adapter_layers(adapter, pipe.unet, _text_encoders(pipe), source, name_of(pipe))


def check_adapter_layers(
    adapter: MMDiffAdapter,
    unet: UNet2DConditionModel,
    text_encoders: Sequence[PreTrainedModel],
    source: str | PathLike[str],
    base: str,
) -> None:
    """Check that an adapter was made for these layers; ``base`` is what the message calls the model."""
    towers = [encoder.config.hidden_size for encoder in text_encoders]
    fits = {
        "cross-attention layers": adapter.config.cross_attention == cross_attention_layers(unet),
        "text encoders": [tower.width for tower in adapter.config.text_towers] == towers,
    }
    for part, fit in fits.items():
        if not fit:
            raise CheckpointError(
                f'The adapter "{source}" was made for another model: its {part} differ from those of "{base}". Load it '
                "with the base model that it was trained on."
            )


def name_of(pipe: DiffusionPipeline) -> str:
    """Return where a pipeline was opened, or its class."""
    return pipe.config.get("_name_or_path") or type(pipe).__name__


# ---------------------------------------------------------------- the device


def place_networks(
    pipe: DiffusionPipeline, encoder: ImageEncoder | None, device: torch.device, offload: Offloading
) -> Placement:
    """Bring a model's networks to the device, or to where its offloading mode has them wait."""
    towers = (pipe.text_encoder, getattr(pipe, "text_encoder_2", None))
    modules = [part for part in (pipe.unet, *towers, pipe.vae, encoder) if isinstance(part, nn.Module)]
    width, height = native_sizes(pipe).default
    needs = footprint(modules, pipe.vae, width * height)
    mode = choose_offloading(offload, device, free_memory(device), needs)
    if mode != "none":
        save_decoder_memory(pipe.vae)
    return Placement.of(modules, device, mode)


def native_sizes(pipe: DiffusionPipeline) -> Size:
    """Return the UNet's training size, and from half to twice that; more if it is tiny."""
    scale = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    trained = pipe.unet.config.sample_size or (128 if hasattr(pipe, "text_encoder_2") else 64)
    side = (trained if isinstance(trained, int) else max(trained)) * scale
    smallest = min(side // 2, SMALLEST_LATENT * scale)
    largest = max(2 * side, USUAL_LATENT * scale)
    shapes = _SDXL_SHAPES if hasattr(pipe, "text_encoder_2") else ()
    fitting = [shape for shape in shapes if all(side * part % (16 * scale) == 0 for part in shape)]
    others = [(side * width // 16, side * height // 16) for width, height in fitting]
    return Size((side, side), smallest, largest, scale, trained=((side, side), *others))
