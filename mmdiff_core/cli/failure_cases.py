"""``python -m mmdiff_core limits``: a sheet of what the built-in model cannot do, or not well."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "limits",
        help="a sheet of hard cases: look-alikes, tiny subjects, unseen nouns, other photos",
        description="Draw the hard cases with the referee's verdicts, as one PNG. Seeds are counted up from 0; nothing "
        "is picked.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("limits.png"), help="the PNG to write")
    add("--model", type=Path, help="a model folder of training (default: the shipped weights)")
    add("--referee", type=Path, help="its file (default: the shipped one)")
    add("--pictures", type=int, default=2, help="pictures of each case")
    add("--device", default="cpu", help="cpu or cuda")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the sheet."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.backbones.toybox import FOLDER
    from mmdiff_core.evaluation.failure_cases.sheet import LimitOptions, write_limits
    from mmdiff_core.referee.network import FILE

    quiet_libraries()
    device = str(choose_device(args.device))
    options = LimitOptions(args.out, args.model or FOLDER, args.referee or FILE, args.pictures, device)
    sys.stdout.write(f"{write_limits(options)}\n")
    return 0
