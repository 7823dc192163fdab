"""The flags that choose a model, with one meaning in every program that generates images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import ModelError, SettingsError
from mmdiff_core.weights.model_source import BUILT_IN

if TYPE_CHECKING:
    from mmdiff_core.pipeline import Personalizer

PRECISIONS = ("auto", "float32", "float16", "bfloat16")
OFFLOADING = ("auto", "none", "tiling", "offload", "sequential")


def add_model_flags(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Add the flags; importing torch waits until the model is loaded. ``more`` is said of the group in the help."""
    lists = '"python -m mmdiff_core models" lists what there is.'
    group = parser.add_argument_group("model", f"{lists} {more}".strip())
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--model", default=BUILT_IN, metavar="FOLDER", help="a complete model: a folder that training wrote, or "
        f'"{BUILT_IN}", the built-in one, which is the default; small, and always in float32',
    )  # fmt: skip
    which.add_argument(
        "--base", metavar="NAME", help="a stock Stable Diffusion 1.x, 2.x or XL instead: its folder, its one "
        ".safetensors file, or its name on the hub if it is in the hub's cache; with an --adapter it shows subjects",
    )  # fmt: skip
    add = group.add_argument
    add(
        "--adapter", type=Path, metavar="PATH", help="the file of an adapter, trained here or a public IP-Adapter as "
        "it is (.safetensors or .bin), or its name in the hub's cache, USER/REPO/FILE; or the folder of the official "
        "release",
    )  # fmt: skip
    add(
        "--image-encoder", metavar="NAME", help="the CLIP vision model for the photos, if the base has none: a folder "
        "or a name in the hub's cache (default: openai/clip-vit-large-patch14)",
    )  # fmt: skip
    add(
        "--text-encoder-2-lora", action="store_true", help="apply the LoRA of the second text encoder, which the "
        "official release contains but never applies",
    )  # fmt: skip
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto for a GPU if there is one (default: auto)")
    add("--dtype", choices=PRECISIONS, default="auto", help="auto, the default: float16 on a GPU, float32 on a CPU")
    add(
        "--offload", choices=OFFLOADING, default="auto", help="for a small GPU: tiling decodes in tiles, offload keeps "
        "only the active network on the GPU, sequential only the active layer (very slow); auto, the default, looks at "
        "the free memory",
    )  # fmt: skip


def add_built_in_flags(parser: argparse.ArgumentParser, device: str = "auto", referee: bool = True) -> None:
    """Add the flags of commands about the rendered world: its model, the device and, where it judges, the referee."""
    add = parser.add_argument
    add(
        "--model", default=BUILT_IN, metavar="FOLDER", help=f'a folder that training wrote, or "{BUILT_IN}", the '
        "built-in model, which is the default",
    )  # fmt: skip
    if referee:
        add("--referee", type=Path, metavar="FILE", help="another referee than the shipped one")
    add(
        "--device",
        default=device,
        help=f"cpu, cuda, mps, or auto: a GPU if there is one (default: {device})",
    )


def add_report_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every suite of ``evaluate``."""
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder for the report")
    parser.add_argument("--quick", action="store_true", help="few prompts, one image of each: under five minutes")


def built_in_folder(model: str) -> Path:
    """Return the folder of ``--model`` as :func:`add_built_in_flags` has it."""
    from mmdiff_core.backbones.toybox import FOLDER

    return FOLDER if model == BUILT_IN else Path(model)


def load_from_flags(args: argparse.Namespace) -> Personalizer:
    """Return the model that the flags ask for.

    Raises:
        ModelError, CheckpointError: it cannot be loaded; the message says what to do.
        SettingsError: a flag does not suit the others or the machine.
    """
    from mmdiff_core.backbones.placement import choose_device, choose_dtype
    from mmdiff_core.pipeline import Personalizer

    device = choose_device(args.device)
    return Personalizer.load(
        args.base or _complete(args.model),
        args.adapter,
        args.image_encoder,
        device,
        choose_dtype(args.dtype, device),
        args.offload,
        args.text_encoder_2_lora,
    )


def _complete(model: str) -> str:
    """Return the value of ``--model``; refuse anything but a complete model."""
    from mmdiff_core.backbones.toybox import NEEDED, is_toybox

    if model == BUILT_IN or is_toybox(model):
        return model
    if (Path(model) / "model_index.json").is_file():
        missing = [name for name in NEEDED if not (Path(model) / name).is_file()]
        raise SettingsError(
            f'"{model}" is not a complete model ({", ".join(missing)} not found in it): if it is a stock Stable '
            "Diffusion, give it with --base, and MM-Diff's weights for it with --adapter."
        )
    raise ModelError(
        f'The model "{model}" is neither "{BUILT_IN}" nor a folder that training wrote: run "python -m mmdiff_core '
        'models" to see what there is, and give a Stable Diffusion with --base.'
    )
