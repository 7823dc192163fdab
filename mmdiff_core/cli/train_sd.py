"""``train sd``, an adapter for Stable Diffusion, and ``pack``, which packs its data into shards."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.launcher import check_launcher, on_cpu
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.training.stable_diffusion.recipes import SdRecipe
    from mmdiff_core.training.stable_diffusion.run import SdOptions

RECIPES = ("sd15-general", "sdxl-general", "portrait")
PRECISIONS = ("auto", "no", "fp16", "bf16")
OPTIMIZERS = ("adamw", "adamw8bit")


def add_sd_parser(models: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the model ``sd`` to ``train``."""
    parser = models.add_parser(
        "sd",
        help="an adapter for Stable Diffusion, on annotated images",
        description="Train an adapter for Stable Diffusion 1.x or XL on annotated images. Ctrl-C saves and stops; the "
        "same command continues. Under torchrun, the processes share the work.",
    )
    add = parser.add_argument
    add("--recipe", required=True, help=f"one of {', '.join(RECIPES)}")
    add(
        "--base", required=True, metavar="NAME", help="the frozen base: its folder, or its name on the hub if it is in "
        "the hub's cache",
    )  # fmt: skip
    add(
        "--data", required=True, metavar="FOLDER", help="annotated images, or WebDataset shards: a folder of .tar "
        "files or a pattern",
    )  # fmt: skip
    add("--out", type=Path, required=True, metavar="FOLDER", help="the run folder")
    add("--validation", type=Path, metavar="FOLDER", help="annotated images to validate on (default: some of --data)")
    add("--image-encoder", metavar="NAME", help="CLIP vision model, where the base brings none (default: ViT-L/14)")
    add("--adapter", type=Path, metavar="FILE", help="an adapter to start from (default: a fresh one)")
    add("--device", help="cpu, cuda or auto, the default")
    add("--minutes", type=float, help="save and stop after that much time")
    add("--steps", type=int, help="training steps, instead of the recipe's")
    add("--batch", type=int, help="batch size, instead of the recipe's")
    add("--accumulate", type=int, help="batches per step, for a large batch on a small GPU")
    add("--lr", type=float, help="learning rate, instead of the recipe's")
    add("--optimizer", choices=OPTIMIZERS, help="adamw8bit takes a quarter of the memory and needs bitsandbytes")
    add("--precision", choices=PRECISIONS, help="of the arithmetic (default: auto, the fastest one here)")
    add("--checkpointing", action=argparse.BooleanOptionalAction, help="less memory, a third slower (default: on)")
    add("--size", type=int, help="side of the images in pixels (default: the base's own)")
    add("--photos", type=int, help="the most reference images of a subject, instead of the recipe's 3")
    add("--subjects", type=int, help="the most subjects in an image, instead of the recipe's 2")
    add("--seed", type=int, default=0, help="seed of the order of the samples (default: 0)")
    add("--validate-every", type=int, metavar="STEPS", help="steps between validations, which also save the adapter")
    add("--sheet-every", type=int, metavar="STEPS", help="steps between grids of sample images")
    add("--log-every", type=int, metavar="STEPS", help="steps between lines of the log")
    add("--save-every", type=float, metavar="SECONDS", help="the most work that a kill may cost")
    add("--tensorboard", action=argparse.BooleanOptionalAction, default=True, help="log to TensorBoard (default: on)")
    parser.set_defaults(run=run_sd_training)


def run_sd_training(args: argparse.Namespace) -> int:
    """Train an adapter; errors as ``training.stable_diffusion.run.train_sd``."""
    check_launcher(os.environ)
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.stable_diffusion.run import train_sd

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    result = train_sd(recipe_from(args), options_from(args))
    adapter = args.out / "adapter.safetensors"
    if result is None:
        sys.stderr.write("Stopped and saved: the same command continues.\n")
    elif result:  # of several processes the first has one
        sys.stdout.write(f"{adapter}\n")
    return 0


def recipe_from(args: argparse.Namespace) -> SdRecipe:
    """Return the recipe with the changes that the flags make.

    Raises:
        SettingsError: there is no such recipe, or a number makes no sense.
    """
    from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES

    if args.recipe not in SD_RECIPES:
        raise SettingsError(f'There is no recipe "{args.recipe}". Choose among {", ".join(SD_RECIPES)}.')
    check_at_least(
        args, steps=1, batch=1, accumulate=1, photos=1, subjects=1, validate_every=1, sheet_every=1, log_every=1
    )
    recipe = SD_RECIPES[args.recipe]
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
    """Return the base, the data and the device.

    Raises:
        SettingsError: the device cannot be used.
    """
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.training.stable_diffusion.run import SdOptions

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
    """Return the flags that were given, under the recipe's names for them."""
    return {field: value for flag, field in names.items() if (value := getattr(args, flag)) is not None}


def add_pack_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``pack``."""
    parser = subparsers.add_parser(
        "pack",
        help="pack an annotated folder into WebDataset shards",
        description="Pack an annotated folder into WebDataset shards, for datasets that are too large for a folder.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="annotated images")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder of the .tar files")
    parser.add_argument("--per-shard", type=int, default=1000, help="images in a shard (default: 1000)")
    parser.set_defaults(run=run_pack)


def run_pack(args: argparse.Namespace) -> int:
    """Pack a folder; errors as ``training.annotated.shards.pack``."""
    from mmdiff_core.training.annotated.folder import AnnotatedFolder
    from mmdiff_core.training.annotated.pack import pack

    check_at_least(args, per_shard=1)
    shards = pack(AnnotatedFolder(args.folder), args.out, args.per_shard)
    sys.stdout.write(f"{len(shards)} shard(s) in {args.out}\n")
    return 0
