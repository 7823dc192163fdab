"""``python -m mmdiff_core ablate``: the method without each of its components, and baselines, on the same base."""

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
        help="compare the method with ablated variants and with baselines",
        description="Train variants of the adapter on one frozen base, with the same samples, and measure each. Ctrl-C "
        "saves and stops; the same command continues.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="the folder; finished work in it is not repeated")
    add("--variants", nargs="*", default=[], metavar="NAME", help="only these and the whole method (default: all)")
    add("--model", type=Path, metavar="FOLDER", help="the model whose base is used (default: the built-in one)")
    add("--steps", type=int, help="training steps of each variant (default: 1280)")
    add("--minutes", type=float, help="instead of --steps: as many as the whole method makes in that time")
    add("--batch", type=int, default=48, help="batch size (default: 48)")
    add("--lr", type=float, default=8e-4, help="learning rate (default: 0.0008)")
    add("--scenes", type=int, default=16_000, help="scenes to render, the same for all variants (default: 16000)")
    add("--prompts", type=int, default=100, help="prompts with one subject, and as many with two (default: 100)")
    add("--seed", type=int, default=900_000, help="the first held-out identity of the prompts, 900000 or more")
    add("--referee", type=Path, metavar="FILE", help="another referee than the shipped one")
    add("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    add("--workers", type=int, default=os.cpu_count(), help="processes that render (default: one per core)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare the variants.

    Raises:
        SettingsError: there is no such variant, or a number makes no sense.
    """
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
        start=args.model or FOLDER,
        referee=args.referee or FILE,
        steps=args.steps,
        minutes=args.minutes,
        batch=args.batch,
        lr=args.lr,
        scenes=args.scenes,
        prompts=args.prompts,
        seed=args.seed,
        device=str(choose_device(args.device)),
        workers=args.workers or 1,
    )
    sys.stdout.write(ablation_markdown(ablate(options)))
    return 0
