"""``python -m mmdiff_core train``: recipes from nothing to shipped weights."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.cli.train_sd import NAMES, SD_FLAGS, add_pack_parser, add_sd_flags, run_sd
from mmdiff_core.errors import SettingsError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands ``train``, ``export`` and ``pack``."""
    parser = subparsers.add_parser(
        "train",
        help="train the built-in model, or an adapter for Stable Diffusion on annotated pictures",
        description="Train a model. Ctrl-C saves and stops; the same command goes on.",
    )
    parser.add_argument("--recipe", required=True, help=f"rehearsal, cpu, gpu, {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, required=True, help="the run folder")
    parser.add_argument(
        "--stages",
        nargs="*",
        default=[],
        help="of: pool autoencoder encoders base adapter joint decoder (default: all)",
    )
    parser.add_argument("--init-from", type=Path, metavar="FOLDER", help="a model to start from, such as assets/toybox")
    parser.add_argument("--device", help="cpu, cuda or auto; cpu by default, auto on Stable Diffusion")
    parser.add_argument("--minutes", type=float, help="save and stop each stage after that much time")
    parser.add_argument(
        "--time-budget",
        type=float,
        metavar="MINUTES",
        help="end each stage after that much time, its learning rate decayed by then; 0: after all its steps",
    )
    parser.add_argument("--pool", type=int, help="scenes in the pool, instead of the recipe's; 0 renders each anew")
    parser.add_argument("--steps", type=int, help="steps of each stage, instead of the recipe's")
    parser.add_argument("--batch", type=int, help="batch of each stage, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which samples are drawn")
    parser.add_argument("--workers", type=int, help="processes that render the pool (default: one for each core)")
    add_sd_flags(parser)
    _add_old_names(parser)
    parser.set_defaults(run=run)
    add_pack_parser(subparsers)
    exporter = subparsers.add_parser("export", help="write a trained model folder in half precision, as it ships")
    exporter.add_argument("--model", type=Path, required=True, help="RUN/model")
    exporter.add_argument("--out", type=Path, required=True, help="the folder to write, such as assets/toybox")
    exporter.set_defaults(run=run_export)


def _add_old_names(parser: argparse.ArgumentParser) -> None:
    """Accept the flags of the last version, too."""
    hidden: dict[str, Any] = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    parser.add_argument("--start", dest="init_from", type=Path, **hidden)
    parser.add_argument("--within", dest="time_budget", type=float, **hidden)
    parser.add_argument("--rate", dest="lr", type=float, **hidden)
    parser.add_argument("--board", dest="tensorboard", action=argparse.BooleanOptionalAction, **hidden)


def run(args: argparse.Namespace) -> int:
    """Train; raises SettingsError for a recipe or a stage that does not exist."""
    check_launcher(os.environ)
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.toybox.recipes import RECIPES
    from mmdiff_core.training.toybox.run import RunOptions, all_stages, train

    if args.recipe in NAMES:
        return run_sd(args)
    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    if args.recipe not in RECIPES:
        known = (*RECIPES, *NAMES)
        raise SettingsError(f'There is no recipe "{args.recipe}". Choose among {", ".join(known)}.')
    _check(args)
    from mmdiff_core.backbones.placement import choose_device

    recipe = RECIPES[args.recipe]
    changes = {name: value for name in ("steps", "batch", "time_budget") if (value := getattr(args, name)) is not None}
    for stage in recipe.stages:
        recipe = recipe.with_stage(stage, **changes)
    if args.pool is not None:
        recipe = replace(recipe, pool=args.pool)
    options = RunOptions(
        folder=args.out,
        stages=tuple(args.stages) or all_stages(recipe),
        device=str(choose_device(args.device or "cpu")),
        init_from=args.init_from,
        minutes=args.minutes,
        seed=args.seed,
        workers=args.workers or os.cpu_count() or 1,
    )
    train(recipe, options)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Whether the flags suit a recipe for the built-in model; raises SettingsError."""
    if strange := [name for name in SD_FLAGS if getattr(args, name) is not None]:
        flag = f"--{strange[0].replace('_', '-')}"
        raise SettingsError(
            f"The recipe {args.recipe} renders its own pictures and trains them its own way: {flag} is not for it."
        )
    least = {"steps": 1, "batch": 1, "workers": 1, "pool": 0, "time_budget": 0}
    for name, number in least.items():
        if (value := getattr(args, name)) is not None and value < number:
            raise SettingsError(f"--{name.replace('_', '-')} must be at least {number}, but is {value}.")
    if args.out.exists() and not args.out.is_dir():
        raise SettingsError(f'--out must be a folder, but "{args.out}" is a file: choose another name.')


def run_export(args: argparse.Namespace) -> int:
    """Export; raises ModelError if the folder is no model."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.toybox.export_model import export

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    size = export(args.model, args.out)
    logging.getLogger(__name__).info("%s: %.1f MB", args.out, size / 1e6)
    return 0
