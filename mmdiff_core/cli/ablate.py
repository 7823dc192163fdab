"""``python -m mmdiff_core ablate``: what each part of the method is worth, and how its peers do on the same base."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "ablate",
        help="what each part of the method is worth, and its peers on the same base",
        description="Train variants of the adapter on the same frozen base with the same samples, and measure each. "
        "Ctrl-C saves and stops; the same command goes on.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="the folder; what is finished in it is not done again")
    add("--variants", nargs="*", default=[], metavar="NAME", help="only these, and the whole method (default: all)")
    add(
        "--start", type=Path, metavar="MODEL", help="the model folder whose base is used (default: the shipped weights)"
    )
    add("--steps", type=int, help="steps of training of each variant (2000)")
    add("--minutes", type=float, help="instead: as many steps as the whole method takes in so many minutes")
    add("--batch", type=int, default=32, help="samples of a step")
    add("--rate", type=float, default=6e-4, help="learning rate")
    add("--pool", type=int, default=4000, help="scenes to render, the same for all")
    add("--prompts", type=int, default=100, help="prompts with one subject, and as many with two")
    add("--seed", type=int, default=900_000, help="the first identity of the prompts, 900000 or more")
    add("--referee", type=Path, help="its file (default: the shipped one)")
    add("--device", default="cpu", help="cpu or cuda")
    add("--workers", type=int, default=os.cpu_count(), help="processes that render the pool (all cores)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare; raises SettingsError for a variant that does not exist or numbers that make no sense."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.backbones.toybox import FOLDER
    from mmdiff_core.evaluation.ablation.adapter_variants import choose_variants
    from mmdiff_core.evaluation.ablation.report import ablation_markdown
    from mmdiff_core.evaluation.ablation.run import AblationOptions, ablate
    from mmdiff_core.referee.network import FILE

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    options = AblationOptions(
        folder=args.out,
        variants=choose_variants(args.variants),
        start=args.start or FOLDER,
        referee=args.referee or FILE,
        steps=args.steps,
        minutes=args.minutes,
        batch=args.batch,
        rate=args.rate,
        pool=args.pool,
        prompts=args.prompts,
        seed=args.seed,
        device=str(choose_device(args.device)),
        workers=args.workers or 1,
    )
    sys.stdout.write(ablation_markdown(ablate(options)))
    return 0
