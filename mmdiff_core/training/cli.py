"""``python -m mmdiff_core train``: recipes from nothing to shipped weights."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

from mmdiff_core.errors import SettingsError
from mmdiff_core.training.sd_cli import NAMES, add_pack_parser, add_sd_flags, run_sd


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
        "--stages", nargs="*", default=[], help="of: pool autoencoder encoders base adapter joint (default: all)"
    )
    parser.add_argument("--start", type=Path, help="a model folder to go on from, such as assets/toybox")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--minutes", type=float, help="stop each stage, saved, after that much time")
    parser.add_argument(
        "--within", type=float, help="finish each stage in so many minutes, its rate run down by then; 0: all its steps"
    )
    parser.add_argument("--pool", type=int, help="scenes in the pool, instead of the recipe's; 0 renders each anew")
    parser.add_argument("--steps", type=int, help="steps of each stage, instead of the recipe's")
    parser.add_argument("--batch", type=int, help="batch of each stage, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the order in which samples are drawn")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that render the pool (all cores)"
    )
    add_sd_flags(parser)
    parser.set_defaults(run=run)
    add_pack_parser(subparsers)
    exporter = subparsers.add_parser("export", help="write a trained model folder in half precision, as it ships")
    exporter.add_argument("--model", type=Path, required=True, help="RUN/model")
    exporter.add_argument("--out", type=Path, required=True, help="the folder to write, such as assets/toybox")
    exporter.set_defaults(run=run_export)


def run(args: argparse.Namespace) -> int:
    """Train; raises SettingsError for a recipe or a stage that does not exist."""
    from mmdiff_core.training.processes import start_all_processes

    start_all_processes()  # before anything that takes long to import

    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.recipes import RECIPES
    from mmdiff_core.training.run import RunOptions, all_stages, train

    if args.recipe in NAMES:
        return run_sd(args)
    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    if args.recipe not in RECIPES:
        known = (*RECIPES, *NAMES)
        raise SettingsError(f'There is no recipe "{args.recipe}". Choose among {", ".join(known)}.')
    if args.base or args.data:
        raise SettingsError(f"The recipe {args.recipe} renders its own pictures: --base and --data are not for it.")
    recipe = RECIPES[args.recipe]
    changes = {name: value for name in ("steps", "batch", "within") if (value := getattr(args, name)) is not None}
    for stage in recipe.stages:
        recipe = recipe.with_stage(stage, **changes)
    if args.pool is not None:
        recipe = replace(recipe, pool=args.pool)
    options = RunOptions(
        folder=args.out,
        stages=tuple(args.stages) or all_stages(recipe),
        device=args.device,
        start=args.start,
        minutes=args.minutes,
        seed=args.seed,
        workers=args.workers,
    )
    train(recipe, options)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export; raises ModelError if the folder is no model."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.run import export

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    size = export(args.model, args.out)
    logging.getLogger(__name__).info("%s: %.1f MB", args.out, size / 1e6)
    return 0
