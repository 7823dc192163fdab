"""Opening stock model folders, with messages that say what to do when one is missing."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TypeVar

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from transformers import CLIPVisionModelWithProjection

from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.checkpoint import load_adapter
from mmdiff_core.encoders.image import CLIP_MEAN, CLIP_STD, ImageEncoder
from mmdiff_core.errors import CheckpointError, ModelError
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.types import Size

Pipeline = TypeVar("Pipeline", bound=DiffusionPipeline)


def open_pipeline(kind: type[Pipeline], source: str | PathLike[str], dtype: torch.dtype) -> Pipeline:
    """A stock pipeline from a folder or from the hub's cache; nothing is downloaded.

    Raises:
        ModelError: there is no such model here, or it is of another kind.
    """
    try:
        pipe = DiffusionPipeline.from_pretrained(source, local_files_only=True, dtype=dtype)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        raise missing_model(source, error) from error
    if not isinstance(pipe, kind):
        raise ModelError(f'The model "{source}" is a {type(pipe).__name__}, but a {kind.__name__} is needed.')
    if pipe.vae.config.force_upcast and dtype != torch.float32:
        pipe.vae.to(torch.float32)
    return pipe


def quiet_libraries() -> None:
    """Keep diffusers and transformers from drawing their own progress bars; for programs, not for libraries."""
    diffusers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def missing_model(source: str | PathLike[str], error: BaseException) -> ModelError:
    """The error for a model that is not on this machine."""
    return ModelError(
        f"The model \"{source}\" cannot be opened: it must be a folder in diffusers' format or be in the hub's "
        f'cache. Fetch it with "hf download {source}", or give the path of a folder. ({_first_line(error)})'
    )


def find_image_encoder(
    source: str | PathLike[str] | None,
    pipe: DiffusionPipeline,
    adapter: MMDiffAdapter | None,
    device: str | torch.device,
    dtype: torch.dtype,
) -> ImageEncoder | None:
    """The image encoder in the folder ``source``, else the pipeline's own, else None.

    Raises:
        ModelError: ``source`` is not a CLIP vision model, or not the one that the adapter was trained with.
    """
    if source is None:
        model = getattr(pipe, "image_encoder", None)
        extractor = getattr(pipe, "feature_extractor", None)
        mean, std = (extractor.image_mean, extractor.image_std) if extractor else (CLIP_MEAN, CLIP_STD)
    else:
        try:
            model = CLIPVisionModelWithProjection.from_pretrained(source, local_files_only=True, dtype=dtype)
        except (OSError, ValueError) as error:
            raise ModelError(
                f'The image encoder "{source}" cannot be opened: give the folder of a CLIP vision model, or fetch one '
                f'with "hf download openai/clip-vit-large-patch14". ({_first_line(error)})'
            ) from error
        mean, std = _statistics(Path(source) / "preprocessor_config.json")
    if model is None:
        return None
    keep_cls = False
    if adapter is not None:
        keep_cls = adapter.config.patches_with_cls
        needed = (adapter.config.cls_width, adapter.config.patch_width)
        if needed != (model.config.projection_dim, model.config.hidden_size):
            raise ModelError(
                f"The adapter needs an image encoder with a projection of {needed[0]} and a width of {needed[1]}, but "
                f"this one has {model.config.projection_dim} and {model.config.hidden_size}. Give the right one."
            )
    return ImageEncoder(model, mean, std, keep_cls).to(device).eval().requires_grad_(False)


def _statistics(config: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation from a preprocessor's file; CLIP's own where there is none."""
    if not config.is_file():
        return CLIP_MEAN, CLIP_STD
    values = json.loads(config.read_text())
    return tuple(values["image_mean"]), tuple(values["image_std"])


def load_matching_adapter(
    source: str | PathLike[str] | None, pipe: DiffusionPipeline, device: str | torch.device, dtype: torch.dtype
) -> MMDiffAdapter | None:
    """The adapter in a file, checked against the model that it is for; None without a file.

    Raises:
        CheckpointError: the file is not an adapter, or was made for another model.
    """
    if source is None:
        return None
    adapter = load_adapter(Path(source))
    towers = [encoder for encoder in (pipe.text_encoder, getattr(pipe, "text_encoder_2", None)) if encoder is not None]
    fits = {
        "cross-attention layers": adapter.config.cross_attention == cross_attention_layers(pipe.unet),
        "text encoders": [t.width for t in adapter.config.text_towers] == [t.config.hidden_size for t in towers],
    }
    for part, fit in fits.items():
        if not fit:
            raise CheckpointError(
                f'The adapter "{source}" was made for another model: its {part} differ from those of '
                f'"{pipe.config._name_or_path}". Load it with the base model that it was trained on.'
            )
    return adapter.to(device, dtype).eval().requires_grad_(False)


def native_sizes(pipe: DiffusionPipeline) -> Size:
    """Squares of the size that the UNet was trained on, and from half to twice that."""
    scale = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
    side = pipe.unet.config.sample_size * scale
    return Size(default=(side, side), smallest=side // 2, largest=2 * side, multiple=scale)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
