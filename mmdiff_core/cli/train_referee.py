"""``python -m mmdiff_core train-referee``: the network that judges the evaluation, trained on renders only."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.referee.train import Phase

SCENES, CHECK_SCENES = 30_000, 600


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "train-referee",
        help="train the referee, which judges the evaluation",
        description="Train the referee, which judges the evaluation, on renders only. Ctrl-C saves and stops; the same "
        "command continues.",
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FOLDER", help="the run folder; it ends with referee.safetensors")
    add("--world", default="whole", help="what can be rendered: whole, the default, or first")
    add("--phases", nargs="*", help="of: coarse fine presence (default: all)")
    add("--init-from", type=Path, metavar="FILE", help="a referee to start from; parts that do not fit start anew")
    add("--minutes", type=float, help="save and stop each phase after that much time")
    add("--steps", type=int, help="steps of each phase, instead of its own")
    add("--batch", type=int, help="batch size of each phase, instead of its own")
    add("--scenes", type=int, help=f"scenes to render (default: {SCENES}; {CHECK_SCENES} held-out ones for --check)")
    add("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    add(
        "--check", action="store_true", help="train nothing; measure the run's referee, or that of --init-from, at 192 "
        "and at 96 pixels",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train the referee, or measure it.

    Raises:
        SettingsError: there is no such world or phase.
    """
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.referee.train import RefereeCheckOptions, RefereeTrainingOptions, check_referee, train_referee
    from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    device = str(choose_device(args.device))
    worlds = {"whole": WHOLE_WORLD, "first": FIRST_WORLD}
    if args.world not in worlds:
        raise SettingsError(f'There is no world "{args.world}". Choose among {", ".join(worlds)}.')
    world = worlds[args.world]
    if args.check:
        file = args.init_from or args.out / "referee.safetensors"
        sys.stdout.write(check_referee(RefereeCheckOptions(file, args.out, world, args.scenes or CHECK_SCENES, device)))
        return 0
    options = (args.out, world, args.init_from, args.minutes, device, _phases(args), args.scenes or SCENES)
    train_referee(RefereeTrainingOptions(*options))
    return 0


def _phases(args: argparse.Namespace) -> tuple[Phase, ...]:
    from mmdiff_core.referee.train import PHASES

    known = [phase.name for phase in PHASES]
    names = known if args.phases is None else args.phases
    if unknown := [name for name in names if name not in known]:
        raise SettingsError(f'There is no phase "{unknown[0]}". Choose among {", ".join(known)}.')
    changes = {name: value for name in ("steps", "batch") if (value := getattr(args, name)) is not None}
    return tuple(replace(phase, **changes) for phase in PHASES if phase.name in names)
