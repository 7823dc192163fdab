"""The flags of ``train`` for Stable Diffusion, and ``pack``; importing torch waits until one runs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.cli.launcher import on_cpu
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.training.stable_diffusion.recipes import SdRecipe
    from mmdiff_core.training.stable_diffusion.run import SdOptions

NAMES = ("sd15-general", "sdxl-general", "portrait")
PRECISIONS = ("auto", "no", "fp16", "bf16")
OPTIMIZERS = ("adamw", "adamw8bit")
SD_FLAGS = (
    "base", "data", "validation", "image_encoder", "adapter", "size", "lr", "accumulate", "precision", "optimizer",
    "checkpointing", "photos", "subjects", "validate_every", "sheet_every", "log_every", "save_every",
)  # fmt: skip


def add_sd_flags(parser: argparse.ArgumentParser) -> None:
    """What the recipes for Stable Diffusion take beside --out, --device, --steps, --batch, --minutes and --seed."""
    group = parser.add_argument_group("Stable Diffusion", f"for the recipes {', '.join(NAMES)}")
    add = group.add_argument
    add(
        "--base", metavar="NAME", help="the frozen base: its folder, or its name on the hub if it is in the hub's cache"
    )
    add(
        "--data", metavar="FOLDER", help="annotated pictures, or WebDataset shards: a folder of .tar files or a pattern"
    )
    add("--validation", type=Path, metavar="FOLDER", help="annotated pictures to validate on (default: some of --data)")
    add("--image-encoder", metavar="NAME", help="CLIP vision model, where the base brings none (default: ViT-L/14)")
    add("--adapter", type=Path, metavar="FILE", help="an adapter to go on from (default: a fresh one)")
    add("--size", type=int, help="side of the pictures in pixels (default: the base's own)")
    add("--lr", type=float, help="learning rate, instead of the recipe's")
    add("--accumulate", type=int, help="batches per step, to have a large batch on a small GPU")
    add("--precision", choices=PRECISIONS, help="of the arithmetic (default: auto, the faster one here)")
    add("--optimizer", choices=OPTIMIZERS, help="adamw8bit takes a quarter of the memory and needs bitsandbytes")
    add("--checkpointing", action=argparse.BooleanOptionalAction, help="less memory, a third slower (default: on)")
    add("--photos", type=int, help="photos of a subject at most, instead of the recipe's 3")
    add("--subjects", type=int, help="subjects in a picture at most, instead of the recipe's 2")
    add(
        "--validate-every", type=int, metavar="STEPS", help="steps between two validations, which also save the adapter"
    )
    add("--sheet-every", type=int, metavar="STEPS", help="steps between two sample sheets")
    add("--log-every", type=int, metavar="STEPS", help="steps between two lines of the log")
    add("--save-every", type=float, metavar="SECONDS", help="how much work a kill may cost")
    add("--tensorboard", action=argparse.BooleanOptionalAction, default=True, help="log to TensorBoard (default: on)")


def run_sd(args: argparse.Namespace) -> int:
    """Train an adapter; errors as ``training.run_sd.train_sd``."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.stable_diffusion.run import train_sd

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    result = train_sd(recipe_from(args), options_from(args))
    adapter = args.out / "adapter.safetensors"
    if result is None:
        sys.stderr.write("Stopped and saved: the same command goes on.\n")
    elif result:  # of several processes the first has one
        sys.stdout.write(f"{adapter}\n")
    return 0


def recipe_from(args: argparse.Namespace) -> SdRecipe:
    """The recipe with what the flags change.

    Raises:
        SettingsError: a number makes no sense.
    """
    from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES

    recipe = SD_RECIPES[args.recipe]
    for name in ("steps", "batch", "accumulate", "photos", "subjects", "validate_every", "sheet_every", "log_every"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise SettingsError(f"--{name.replace('_', '-')} must be at least 1, but is {value}.")
    training = _given(args, steps="steps", batch="batch", lr="lr")
    if args.steps is not None:
        training["warmup"] = min(recipe.training.warmup, args.steps // 10)
    data = _given(args, photos="photos", subjects="subjects")
    changes = _given(
        args, size="size", accumulate="accumulate", precision="precision", optimizer="optimizer",
        checkpointing="checkpointing", validate_every="validate_every", sheet_every="sheet_every",
        log_every="log_every", save_every="save_every_s", seed="seed",
    )  # fmt: skip
    return replace(recipe, training=replace(recipe.training, **training), data=replace(recipe.data, **data), **changes)


def options_from(args: argparse.Namespace) -> SdOptions:
    """Base, data and device.

    Raises:
        SettingsError: a flag that the recipe needs is missing, or one is not for it.
    """
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.training.stable_diffusion.run import SdOptions

    if not args.base or not args.data:
        raise SettingsError(f"The recipe {args.recipe} needs --base, the model to train on, and --data, the pictures.")
    if args.init_from is not None or args.stages:
        raise SettingsError(f"The recipe {args.recipe} has no --init-from and no --stages: start from an --adapter.")
    if strange := [name for name in ("time_budget", "pool", "workers") if getattr(args, name) is not None]:
        raise SettingsError(
            f"The recipe {args.recipe} renders nothing and runs for as many --steps as it has, or --minutes: "
            f"--{strange[0].replace('_', '-')} is not for it."
        )
    device = str(choose_device(args.device or ("cpu" if on_cpu(os.environ) else "auto")))
    return SdOptions(
        folder=args.out,
        base=args.base,
        data=args.data,
        validation=args.validation,
        image_encoder=args.image_encoder,
        init_from=args.adapter,
        device=device,
        minutes=args.minutes,
        tensorboard=args.tensorboard,
    )


def _given(args: argparse.Namespace, **names: str) -> dict[str, Any]:
    """The flags that were given, under the names that the recipe has for them."""
    return {field: value for flag, field in names.items() if (value := getattr(args, flag)) is not None}


def add_pack_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command ``pack``."""
    parser = subparsers.add_parser(
        "pack", help="pack an annotated folder into WebDataset shards", description="For sets too large for a folder."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="annotated pictures")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the .tar files go")
    parser.add_argument("--per-shard", type=int, default=1000, help="pictures in a shard (1000)")
    parser.set_defaults(run=run_pack)


def run_pack(args: argparse.Namespace) -> int:
    """Pack; errors as ``training.shards.pack``."""
    from mmdiff_core.training.annotated.folder import AnnotatedFolder
    from mmdiff_core.training.annotated.shards import pack

    if args.per_shard < 1:
        raise SettingsError(f"--per-shard must be at least 1, but is {args.per_shard}.")
    shards = pack(AnnotatedFolder(args.folder), args.out, args.per_shard)
    sys.stdout.write(f"{len(shards)} shard(s) in {args.out}\n")
    return 0
