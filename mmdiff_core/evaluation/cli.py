"""``python -m mmdiff_core evaluate`` measures the built-in model, ``train-referee`` makes the judge that does it."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.evaluation.teach import Phase

SUITES = ("toybox",)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands ``evaluate`` and ``train-referee``."""
    _add_evaluate(subparsers)
    _add_train(subparsers)


def _add_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure the built-in model on toys that it never saw",
        description="Measure a model on held-out toys. Ctrl-C stops; the same command goes on.",
    )
    parser.add_argument("--suite", default="toybox", help=f"of: {', '.join(SUITES)}")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the report")
    parser.add_argument("--quick", action="store_true", help="few prompts and one picture of each: under five minutes")
    parser.add_argument("--seed", type=int, default=900_000, help="the first identity, 900000 or more")
    parser.add_argument("--model", type=Path, help="a model folder of training (default: the shipped weights)")
    parser.add_argument("--prompts", type=int, help="prompts for one and for two subjects, half as many for three")
    parser.add_argument("--referee", type=Path, help="its file (default: the shipped one)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.set_defaults(run=run_evaluate)


def _add_train(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "train-referee",
        help="train the judge of the evaluation, on renders only",
        description="Train the referee on renders. Ctrl-C saves and stops; the same command goes on.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the run folder; it ends with referee.safetensors")
    parser.add_argument("--world", default="whole", help="whole, or first: what can be rendered of it")
    parser.add_argument("--minutes", type=float, help="stop each phase, saved, after that much time")
    parser.add_argument("--start", type=Path, help="a referee to go on from; parts that do not fit start anew")
    parser.add_argument("--phases", nargs="*", help="of: coarse fine (default: both)")
    parser.add_argument("--steps", type=int, help="steps of each phase, instead of its own")
    parser.add_argument("--batch", type=int, help="pictures of a step of each phase")
    parser.add_argument("--pool", type=int, default=8000, help="scenes to render")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--check", action="store_true", help="train nothing; measure the run's referee, or --start's")
    parser.add_argument("--scenes", type=int, default=600, help="held-out scenes of --check, at 256 and at 96 pixels")
    parser.set_defaults(run=run_train)


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate; raises SettingsError for a suite that does not exist or too few prompts."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.toybox import FOLDER
    from mmdiff_core.evaluation.referee import FILE
    from mmdiff_core.evaluation.report import to_markdown
    from mmdiff_core.evaluation.run import SuiteOptions, evaluate
    from mmdiff_core.evaluation.suite import PROMPTS, QUICK_PROMPTS, SEEDS

    quiet_libraries()
    if args.suite not in SUITES:
        raise SettingsError(f'There is no suite "{args.suite}". Choose among {", ".join(SUITES)}.')
    prompts = QUICK_PROMPTS if args.quick else PROMPTS
    if args.prompts is not None:
        if args.prompts < 1:
            raise SettingsError(f"The number of prompts is {args.prompts}; choose 1 or more.")
        prompts = {1: args.prompts, 2: args.prompts, 3: max(1, args.prompts // 2)}
    options = SuiteOptions(
        folder=args.out,
        model=args.model or FOLDER,
        referee=args.referee or FILE,
        prompts=prompts,
        seeds=SEEDS[:1] if args.quick else SEEDS,
        seed=args.seed,
        device=args.device,
    )
    sys.stdout.write(to_markdown(evaluate(options)))
    return 0


def run_train(args: argparse.Namespace) -> int:
    """Train the referee, or measure it; raises SettingsError for a world that does not exist."""
    from mmdiff_core.evaluation.teach import CheckOptions, TeachOptions, check_referee, teach
    from mmdiff_core.toybox.vocabulary import FIRST_WORLD, WHOLE_WORLD

    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    worlds = {"whole": WHOLE_WORLD, "first": FIRST_WORLD}
    if args.world not in worlds:
        raise SettingsError(f'There is no world "{args.world}". Choose among {", ".join(worlds)}.')
    if args.check:
        file = args.start or args.out / "referee.safetensors"
        sys.stdout.write(check_referee(CheckOptions(file, args.out, worlds[args.world], args.scenes, args.device)))
        return 0
    teach(TeachOptions(args.out, worlds[args.world], args.start, args.minutes, args.device, _phases(args), args.pool))
    return 0


def _phases(args: argparse.Namespace) -> tuple[Phase, ...]:
    """The phases that were asked for; raises SettingsError for one that does not exist."""
    from mmdiff_core.evaluation.teach import PHASES

    names = [phase.name for phase in PHASES] if args.phases is None else args.phases
    if strange := [name for name in names if name not in [phase.name for phase in PHASES]]:
        known = ", ".join(phase.name for phase in PHASES)
        raise SettingsError(f"There is no phase {strange[0]}. Choose among {known}.")
    changes = {name: value for name in ("steps", "batch") if (value := getattr(args, name)) is not None}
    return tuple(replace(phase, **changes) for phase in PHASES if phase.name in names)
