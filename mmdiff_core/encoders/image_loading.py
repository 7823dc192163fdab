"""Finds and opens the image encoder that an adapter was made with, with messages that say what to do about it."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from os import PathLike
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from transformers import CLIPVisionModelWithProjection

from mmdiff_core.encoders.devices import is_hooked
from mmdiff_core.encoders.image import CLIP_MEAN, CLIP_STD, ImageEncoder
from mmdiff_core.errors import ModelError
from mmdiff_core.nn.adapter import AdapterConfig, MMDiffAdapter
from mmdiff_core.numeric_checks import check_finite_weights
from mmdiff_core.weights.adapter_file import AdapterFile, check_tensors
from mmdiff_core.weights.hub import CLIP, find_folder, first_line, how_to_get
from mmdiff_core.weights.integrity import load_network, weight_problems
from mmdiff_core.weights.ip_adapter import IMAGE_ENCODERS


def find_image_encoder(
    source: str | PathLike[str] | None, pipe: DiffusionPipeline, checkpoint: AdapterFile | None, dtype: torch.dtype
) -> ImageEncoder | None:
    """Return the image encoder in ``source``, else the pipeline's, else the one that the adapter was made with.

    That is searched beside the adapter's file, and in the hub's cache; see :func:`usual_image_encoder`.

    Args:
        source: a folder or a hub name.
        pipe: a stock pipeline, which may bring one.
        checkpoint: the adapter that needs it; without one, or for one that reads face embeddings alone, there is no
            need, and no search.
        dtype: its precision.

    Raises:
        ModelError: ``source`` is not a CLIP vision model, or not the one that the adapter was trained with.
    """
    model = getattr(pipe, "image_encoder", None)
    config = None if checkpoint is None else checkpoint.adapter.config
    if config is not None and not config.reads_images:
        return None
    if source is not None:
        model, mean, std = _open_image_encoder(source, dtype)
    elif model is not None:
        extractor = getattr(pipe, "feature_extractor", None)
        mean, std = (extractor.image_mean, extractor.image_std) if extractor else (CLIP_MEAN, CLIP_STD)
    elif checkpoint is not None:
        model, mean, std = _open_image_encoder(usual_image_encoder(checkpoint), dtype)
    else:
        return None
    if checkpoint is None or config is None:
        return _frozen(ImageEncoder(model, mean, std))
    check_image_encoder(checkpoint.adapter, model)
    words = _own_image_encoder(checkpoint, model)
    return _frozen(ImageEncoder(model, mean, std, config.patches_with_cls, words, config.photo_fit))


def usual_image_encoder(checkpoint: AdapterFile) -> str | PathLike[str]:
    """Return the folder or hub name of the image encoder that an adapter was made with, by its widths.

    IP-Adapters have theirs in folders beside them on the hub, and so in the hub's cache and in copies of it.
    """
    config = checkpoint.adapter.config
    for folder in checkpoint.near:
        with suppress(OSError, ValueError, KeyError):
            values = json.loads((folder / "config.json").read_text())
            if _fits_image_encoder(config, values["projection_dim"], values["hidden_size"]):
                return folder
    known = (name for name, sizes in IMAGE_ENCODERS.items() if _fits_image_encoder(config, *sizes))
    return next(known, CLIP)


def open_image_encoder(source: str | PathLike[str], dtype: torch.dtype) -> ImageEncoder:
    """Open the image encoder in a folder or in the hub's cache, with its own normalisation.

    Raises:
        ModelError: it is missing, incomplete, or no CLIP vision model.
    """
    return _frozen(ImageEncoder(*_open_image_encoder(source, dtype)))


def _frozen(encoder: ImageEncoder) -> ImageEncoder:
    return encoder.eval().requires_grad_(False)


def _open_image_encoder(
    source: str | PathLike[str], dtype: torch.dtype
) -> tuple[CLIPVisionModelWithProjection, tuple[float, ...], tuple[float, ...]]:
    """Open a CLIP vision model with its mean and deviation."""
    try:
        folder = find_folder(source, "config.json")
    except ModelError as error:
        known = str(source) if str(source) in IMAGE_ENCODERS else CLIP
        raise ModelError(
            f'The image encoder "{source}" is not here: name the folder of a CLIP vision model with --image-encoder; '
            f'for "{known}", {how_to_get(known)}'
        ) from error
    problem = next(weight_problems(folder), None)
    if problem is not None:
        raise ModelError(f'The image encoder "{source}" is incomplete: {problem}. Get it again.')
    try:
        model = load_network(CLIPVisionModelWithProjection, folder, source, dtype=dtype)
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f'The image encoder "{source}" cannot be opened: it is not a CLIP vision model. ({first_line(error)})'
        ) from error
    check_finite_weights({"image encoder": model}, source)
    return model, *_statistics(folder / "preprocessor_config.json")


def _own_image_encoder(
    checkpoint: AdapterFile, model: CLIPVisionModelWithProjection
) -> CLIPVisionModelWithProjection | None:
    """Return the official checkpoint's own image encoder, which only the subjects' words come from."""
    if not checkpoint.image_encoder:
        return None
    own = type(model)(model.config).to(model.dtype) if is_hooked(model) else copy.deepcopy(model)
    check_tensors(own.state_dict(), checkpoint.image_encoder, "the image encoder of the official checkpoint")
    own.load_state_dict(dict(checkpoint.image_encoder))
    return own


def check_image_encoder(adapter: MMDiffAdapter, model: CLIPVisionModelWithProjection) -> None:
    """Check that an adapter can read an image encoder's features.

    Raises:
        ModelError: their widths differ.
    """
    config, found = adapter.config, (model.config.projection_dim, model.config.hidden_size)
    if _fits_image_encoder(config, *found):
        return
    sizes = {"a projection": (config.cls_width, found[0]), "a width": (config.patch_width, found[1])}
    needed = {what: both for what, both in sizes.items() if both[0]}
    raise ModelError(
        f"The adapter needs an image encoder with {' and '.join(f'{w} of {n}' for w, (n, _) in needed.items())}, but "
        f"this one has {' and '.join(str(n) for _, n in needed.values())}. Give the right one with --image-encoder."
    )


def _fits_image_encoder(config: AdapterConfig, projection: int, width: int) -> bool:
    """Whether an adapter can read the CLS and the patches of these widths, if it reads them."""
    return config.cls_width in (0, projection) and config.patch_width in (0, width)


def _statistics(config: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation from a preprocessor's file; CLIP's own if there is none."""
    if not config.is_file():
        return CLIP_MEAN, CLIP_STD
    try:
        values = json.loads(config.read_text())
        return tuple(values["image_mean"]), tuple(values["image_std"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f'The file "{config}" is damaged: get the image encoder again.') from error
