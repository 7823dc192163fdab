"""``python -m mmdiff_core dryrun``: full-size models with random weights on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.model_flags import PRECISIONS
from mmdiff_core.errors import SettingsError

MODELS = ("sd15", "sdxl")
MAX_SUBJECTS = 4


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "dryrun",
        help="try a full-size model with random weights, for its memory and the size of its maps",
        description="Build a full-size model with random weights, attach a random adapter, and take a few steps with "
        "every map recorded. Nothing is downloaded; the image is noise.",
    )
    add = parser.add_argument
    add("--model", choices=MODELS, required=True, help="the model whose shape is tried")
    add("--steps", type=int, default=2, help="denoising steps (default: 2)")
    add("--subjects", type=int, default=2, help=f"how many, 1 to {MAX_SUBJECTS} (default: 2)")
    add("--guidance", type=float, default=5.0, help="1 or less switches it off, which halves the work (default: 5)")
    add("--width", type=int, help="in pixels (default: the model's own)")
    add("--height", type=int, help="in pixels (default: the model's own)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto for a GPU if there is one (default: auto)")
    add("--dtype", choices=PRECISIONS, default="auto", help="SDXL takes about 20 GB in float32, half that in bfloat16")
    add("--out", type=Path, metavar="FILE", help="also write the figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Try the model and report.

    Raises:
        SettingsError: a number is out of range, or the device cannot be used.
    """
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device, choose_dtype
    from mmdiff_core.benchmarks.full_size_dryrun import DryRunOptions, describe_dry_run, dry_run
    from mmdiff_core.benchmarks.full_size_models import MODEL_SHAPES

    if not 1 <= args.subjects <= MAX_SUBJECTS:
        raise SettingsError(f"The number of subjects must be from 1 to {MAX_SUBJECTS}, but is {args.subjects}.")
    check_at_least(args, steps=1)
    quiet_libraries()
    device = choose_device(args.device)
    options = DryRunOptions(
        args.steps,
        args.subjects,
        args.guidance,
        args.width,
        args.height,
        choose_dtype(args.dtype, device),
        str(device),
    )
    found = dry_run(MODEL_SHAPES[args.model], options)
    if args.out is not None:
        args.out.write_text(json.dumps({"model": args.model, **found.to_json()}, indent=2) + "\n")
    sys.stdout.write(describe_dry_run(found))
    return 0
