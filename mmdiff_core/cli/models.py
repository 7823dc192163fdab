"""``python -m mmdiff_core models``, which lists and downloads models, and ``convert``, for adapters of others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from mmdiff_core.backbones.registry import AvailableModel

GIGABYTE = 10**9


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands; importing torch waits until one runs."""
    _add_models(subparsers)
    _add_convert(subparsers)


def _add_models(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "models",
        help="list the models that can be loaded, or download one",
        description="List what can be loaded: the built-in model, folders and files, and Stable Diffusion models and "
        "adapters in the hub's cache.",
    )
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="a model, its file, or a folder of models"
    )
    parser.add_argument(
        "--download", metavar="NAME", help="download a model from the hub, or an adapter, USER/REPO/FILE, with its "
        "image encoder",
    )  # fmt: skip
    parser.set_defaults(run=run_models)


def _add_convert(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="turn the official MM-Diff checkpoint, or an IP-Adapter, into one adapter file",
        description="Turn the three files of the official checkpoint, or the file of an IP-Adapter, into one. Every "
        "key and every shape is checked.",
    )
    add = parser.add_argument
    add(
        "source", type=Path, metavar="SOURCE", help="the folder with the three .bin files; or an IP-Adapter's file, or "
        "its name in the hub's cache",
    )  # fmt: skip
    add("--out", type=Path, required=True, metavar="FILE", help="the adapter file, .safetensors")
    add(
        "--base", metavar="NAME", help="the base model that it is for (default: SDXL base 1.0, or Stable Diffusion 1.5 "
        "for an IP-Adapter of its width)",
    )  # fmt: skip
    parser.add_argument(
        "--text-encoder-2-lora",
        action="store_true",
        help="apply the LoRA of the second text encoder, which the release contains but never applies",
    )
    parser.set_defaults(run=run_convert)


# ---------------------------------------------------------------- models


def run_models(args: argparse.Namespace) -> int:
    """List the models, or download one."""
    from mmdiff_core.backbones.registry import available_models, cached_adapters, face_state, image_encoder_state

    if args.download is not None:
        sys.stdout.write(f"{_download(args.download)}\n")
        return 0
    for folder in args.folders:
        if not folder.exists():
            raise SettingsError(f'There is no folder "{folder}": give a model, or a folder that holds models.')
    for model in (*available_models(args.folders), *cached_adapters(), image_encoder_state(), face_state()):
        sys.stdout.write(describe_model(model))
    return 0


def _download(name: str) -> Path:
    """Fetch a model, an adapter or what finds faces; return where it is."""
    from mmdiff_core.weights.hub import download_model
    from mmdiff_core.weights.hub_adapters import download_adapter, is_adapter_name, is_adapter_repository
    from mmdiff_core.weights.insightface_models import FACES, download_faces

    if name == FACES:
        return download_faces()
    if is_adapter_name(name) or (name.count("/") == 1 and is_adapter_repository(name)):
        return download_adapter(name, lambda what: sys.stderr.write(f"Fetching {what}.\n"))
    return download_model(name)


def describe_model(model: AvailableModel) -> str:
    """Return a few lines about a model."""
    from mmdiff_core.weights.hub import format_gigabytes

    size = "" if model.size is None else f", {model.size / GIGABYTE:.2g} GB"
    size = size if model.download is None else f", about {format_gigabytes(model.download)}"
    lines = [f"{model.key}", f"    {model.title} ({model.where}{size})"]
    if model.present and model.where != "hub":
        flag = "--model" if model.complete else "--adapter" if model.adapter else "--base"
        lines.append("    used by default with --adapter" if model.helper else f"    use it with {flag} {model.key}")
    else:
        lines.append(f"    not usable: {model.missing or 'not on this machine'}; to get it: {model.how_to_get}")
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------- convert


def run_convert(args: argparse.Namespace) -> int:
    """Convert and save the adapter of another project, and account for every tensor."""
    import torch

    from mmdiff_core.backbones.loading import apply_second_text_lora, layers_of_base
    from mmdiff_core.weights.adapter_file import save_adapter
    from mmdiff_core.weights.any_adapter import convert_foreign, read_foreign

    if args.out.is_dir():
        raise SettingsError(f'"{args.out}" is a folder: give --out the name of a file, such as adapter.safetensors.')
    foreign = read_foreign(args.source)
    tensors = foreign.tensors
    checkpoint = convert_foreign(foreign, layers_of_base(args.base, foreign.context))
    if args.text_encoder_2_lora:
        apply_second_text_lora(checkpoint.adapter)
    dtypes = {x.dtype for x in tensors.values() if x.is_floating_point()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    save_adapter(
        checkpoint.adapter, args.out, {"source": foreign.kind}, dtype=dtype, image_encoder=checkpoint.image_encoder
    )
    sys.stdout.write(account(tensors))
    if any(tower.rank and not tower.lora_active for tower in checkpoint.adapter.config.text_towers):
        sys.stdout.write("The LoRA of the second text encoder is kept but not applied, as in the release.\n")
    sys.stdout.write(f"{args.out}\n")
    return 0


def account(tensors: Mapping[str, Tensor]) -> str:
    """Return a line for each part of a checkpoint: how many tensors and numbers were converted."""
    parts: dict[str, list[int]] = {}
    for name, tensor in tensors.items():
        group = "/".join(name.split("/")[:-1])
        if group == "text_encoder_adapter":
            group += f"/{name.split('/')[1].split('.')[0]}"
        parts.setdefault(group, []).append(tensor.numel())
    lines = [f"{group}: {len(sizes)} tensors, {sum(sizes):,} numbers" for group, sizes in sorted(parts.items())]
    total = f"all {len(tensors)} tensors converted"
    return "\n".join([*lines, total]) + "\n"
