"""``python -m mmdiff_core failure-cases``: a contact sheet of what the built-in model cannot do, or not well."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmdiff_core.cli.model_flags import add_built_in_flags, built_in_folder


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "failure-cases",
        help="draw a contact sheet of hard cases: look-alikes, tiny subjects, unseen classes, other photos",
        description="Draw hard cases, with the referee's judgement of each, as one PNG. Seeds count up from 0; nothing "
        "is picked.",
    )
    parser.add_argument("--out", type=Path, default=Path("failure_cases.png"), metavar="FILE", help="the PNG to write")
    parser.add_argument("--images", type=int, default=2, help="images of each case (default: 2)")
    add_built_in_flags(parser, "cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the contact sheet; errors as ``evaluation.failure_cases.sheet.write_failure_sheet``."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.evaluation.failure_cases.sheet import FailureCaseOptions, write_failure_sheet
    from mmdiff_core.referee.network import FILE

    quiet_libraries()
    device = str(choose_device(args.device))
    options = FailureCaseOptions(args.out, built_in_folder(args.model), args.referee or FILE, args.images, device)
    sys.stdout.write(f"{write_failure_sheet(options)}\n")
    return 0
