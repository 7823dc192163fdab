"""``train toybox``, the built-in model by stages, and ``export``, which writes it as it ships."""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.errors import SettingsError

RECIPES = ("rehearsal", "cpu", "gpu")
STAGES = ("dataset", "autoencoder", "whole-images", "encoders", "base", "adapter", "joint", "student")


def add_toybox_parser(models: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the model ``toybox`` to ``train``."""
    parser = models.add_parser(
        "toybox",
        help="the built-in model, on rendered scenes",
        description="Train the built-in model on scenes that it renders itself. Ctrl-C saves and stops; the same "
        "command continues.",
    )
    add = parser.add_argument
    add("--recipe", required=True, help=f"one of {', '.join(RECIPES)}")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the run folder")
    add("--stages", nargs="*", default=[], help=f"of: {' '.join(STAGES)} (default: all)")
    add("--init-from", type=Path, metavar="FOLDER", help="a model to start from, such as assets/toybox")
    add("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    add("--minutes", type=float, help="save and stop each stage after that much time")
    add(
        "--time-budget", type=float, metavar="MINUTES", help="end each stage after that much time, its learning rate "
        "decayed by then; 0: after all its steps",
    )  # fmt: skip
    add(
        "--cool-down", type=int, metavar="STEPS", help="take a copy of the last stage, but for the student's, in "
        "OUT/cooled, to a learning rate of zero over so many steps; the run itself may continue afterwards",
    )  # fmt: skip
    add("--scenes", type=int, help="scenes to render, instead of the recipe's; 0 renders each anew")
    add("--steps", type=int, help="steps of each stage, instead of the recipe's")
    add("--batch", type=int, help="batch size of each stage, instead of the recipe's")
    add("--seed", type=int, default=0, help="seed of the order of the samples (default: 0)")
    add("--workers", type=int, help="processes that render scenes (default: one per core)")
    parser.set_defaults(run=run_toybox_training)


def run_toybox_training(args: argparse.Namespace) -> int:
    """Train the built-in model.

    Raises:
        SettingsError: there is no such recipe or stage, or a number makes no sense.
    """
    check_launcher(os.environ)
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.training.toybox.recipes import RECIPES
    from mmdiff_core.training.toybox.run import all_stages, cool_down, train_toybox
    from mmdiff_core.training.toybox.run_options import RunOptions

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    if args.recipe not in RECIPES:
        raise SettingsError(f'There is no recipe "{args.recipe}". Choose among {", ".join(RECIPES)}.')
    check_at_least(args, steps=1, batch=1, workers=1, scenes=0, time_budget=0, cool_down=1)
    if args.out.exists() and not args.out.is_dir():
        raise SettingsError(f'--out must be a folder, but "{args.out}" is a file: choose another name.')
    recipe = RECIPES[args.recipe]
    changes = {name: value for name in ("steps", "batch", "time_budget") if (value := getattr(args, name)) is not None}
    for stage in recipe.stages:
        recipe = recipe.with_stage(stage, **changes)
    if args.scenes is not None:
        recipe = replace(recipe, scenes=args.scenes)
    options = RunOptions(
        folder=args.out,
        stages=tuple("dataset" if stage == "pool" else stage for stage in args.stages) or all_stages(recipe),
        device=str(choose_device(args.device)),
        init_from=args.init_from,
        minutes=args.minutes,
        seed=args.seed,
        workers=args.workers or os.cpu_count() or 1,
    )
    if args.cool_down is not None:
        cool_down(recipe, options, args.cool_down)
    else:
        train_toybox(recipe, options)
    return 0


def add_export_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command ``export``."""
    parser = subparsers.add_parser(
        "export",
        help="write a trained model in half precision, as it ships",
        description="Write a trained model in half precision, as it ships: a folder that diffusers opens.",
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FOLDER", help="the folder RUN/model, or RUN/cooled/model"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="the folder to write, such as assets/toybox"
    )
    parser.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> int:
    """Export a trained model.

    Raises:
        ModelError: the folder is no model.
    """
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.training.toybox.export_model import export_model

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    size = export_model(args.model, args.out)
    logging.getLogger(__name__).info("%s: %.1f MB", args.out, size / 1e6)
    return 0
