"""``python -m mmdiff_core evaluate``: how well a model shows its subjects; a suite for each question."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmdiff_core.cli.evaluate_dreambench import add_dreambench
from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.model_flags import add_built_in_flags, add_report_flags, built_in_folder
from mmdiff_core.errors import SettingsError


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command with its suites; importing torch waits until one runs."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model, on toys that it never saw or on photos",
        description="Measure a model. Ctrl-C stops; the same command continues.",
    )
    suites = parser.add_subparsers(dest="suite", required=True, metavar="suite")
    _add_toybox(suites)
    _add_leakage(suites)
    _add_photo_balance(suites)
    _add_conflicts(suites)
    _add_pointing(suites)
    add_dreambench(suites)


def _add_toybox(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "toybox",
        help="how well the built-in model shows toys that it never saw",
        description="Measure the built-in model, or one that training wrote, on prompts with one, two and three toys "
        "that it never saw; the referee judges.",
    )
    add_report_flags(parser)
    parser.add_argument("--prompts", type=int, help="prompts with one and with two subjects; half as many with three")
    add_built_in_flags(parser)
    parser.add_argument("--seed", type=int, help="the first held-out identity, 900000 or more")
    parser.add_argument("--fast", action="store_true", help="sample by the model's preset for few steps")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the model's own, or the preset's)")
    parser.add_argument("--guidance", type=float, help="how closely to follow the prompt (default: as the steps)")
    parser.add_argument("--scheduler", metavar="NAME", help="as for generate (default: the model's own)")
    parser.add_argument("--no-bounds", action="store_true", help="judge neither real renders nor the base model")
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--write-cases", action="store_true", help="only write the prompts and photos to --out, for another program "
        "to make the images",
    )  # fmt: skip
    others.add_argument(
        "--images", type=Path, metavar="FOLDER", help="judge the images that another program made, "
        "under the names in cases.json",
    )  # fmt: skip
    parser.set_defaults(run=run_toybox_suite)


def _add_leakage(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "leakage",
        help="whether word gating keeps two subjects apart",
        description="Measure at several strengths of word gating how often the attributes of two held-out toys are "
        "swapped; the referee judges.",
    )
    add_report_flags(parser)
    parser.add_argument("--prompts", type=int, help="prompts with two subjects")
    parser.add_argument(
        "--word-gating", type=float, nargs="+", metavar="NUMBER", help="values to compare, from 0 (off) to 1 (default: "
        "0 0.5 0.8 1)",
    )  # fmt: skip
    add_built_in_flags(parser)
    parser.add_argument("--adapter", type=Path, metavar="FILE", help="another adapter for the model")
    parser.add_argument("--seed", type=int, help="the first held-out identity, 900000 or more")
    parser.set_defaults(run=run_leakage_suite)


def _add_photo_balance(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "photo-balance",
        help="whether a subject with more photos pushes the other aside",
        description="Measure how well two held-out toys are shown, one from four photos and the other from one, with "
        "and without giving both the same weight; the referee judges.",
    )
    add_report_flags(parser)
    parser.add_argument("--prompts", type=int, help="prompts with two subjects (default: 200)")
    add_built_in_flags(parser)
    parser.set_defaults(run=run_photo_balance_suite)


def _add_conflicts(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "conflicts",
        help="what wins where words and photos disagree",
        description='Measure what the built-in model makes of "a red cat" with photos of a blue cat, and of "a tiny '
        'cat next to a giant bear"; the referee judges.',
    )
    add_report_flags(parser)
    parser.add_argument("--prompts", type=int, help="prompts of each kind (default: 100)")
    add_built_in_flags(parser)
    parser.set_defaults(run=run_conflict_suite)


def _add_pointing(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "pointing",
        help="which attention maps, layers and steps point at the subject",
        description="Measure against the exact masks of rendered scenes how well each kind of attention map points at "
        "its subject, by layer, step and head.",
    )
    add_report_flags(parser)
    parser.add_argument("--prompts", type=int, help="scenes with two subjects; half as many with one and with three")
    add_built_in_flags(parser, referee=False)
    parser.set_defaults(run=run_pointing_suite)


def _begin(args: argparse.Namespace) -> tuple[Path, str]:
    """Check the flags of a suite about the rendered world; return its model's folder and the device."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device

    check_at_least(args, prompts=1)
    quiet_libraries()
    return built_in_folder(args.model), str(choose_device(args.device))


def run_toybox_suite(args: argparse.Namespace) -> int:
    """Measure a model on held-out toys; errors as ``evaluation.toybox.run.evaluate_toybox``."""
    from mmdiff_core.evaluation.toybox.report import toybox_markdown
    from mmdiff_core.evaluation.toybox.run import ToyboxOptions, evaluate_images, evaluate_toybox, write_toybox_cases
    from mmdiff_core.evaluation.toybox.suite import Sampling
    from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, PROMPTS, QUICK_PROMPTS, SEEDS
    from mmdiff_core.referee.network import FILE

    model, device = _begin(args)
    prompts = QUICK_PROMPTS if args.quick else PROMPTS
    if args.prompts is not None:
        prompts = {1: args.prompts, 2: args.prompts, 3: max(1, args.prompts // 2)}
    options = ToyboxOptions(
        folder=args.out,
        model=model,
        referee=args.referee or FILE,
        prompts=prompts,
        seeds=SEEDS[:1] if args.quick else SEEDS,
        seed=FIRST_SEED if args.seed is None else args.seed,
        device=device,
        bounds=not args.no_bounds,
        sampling=Sampling(args.steps, args.guidance, args.scheduler, args.fast),
    )
    if args.write_cases:
        count = write_toybox_cases(options)
        sys.stdout.write(f"{args.out / 'cases.json'}: {count} cases, {len(options.seeds)} image(s) of each to make\n")
        return 0
    if args.images is not None and options.sampling != Sampling():
        raise SettingsError(
            "With --images the images are there already: leave --fast, --steps, --guidance and --scheduler out."
        )
    table = evaluate_toybox(options) if args.images is None else evaluate_images(args.images, options)
    sys.stdout.write(toybox_markdown(table))
    return 0


def run_leakage_suite(args: argparse.Namespace) -> int:
    """Compare strengths of word gating; errors as ``evaluation.toybox.leakage_suite.evaluate_leakage``."""
    from mmdiff_core.evaluation.toybox import leakage_suite
    from mmdiff_core.evaluation.toybox.toybox_cases import FIRST_SEED, QUICK_PROMPTS, SEEDS
    from mmdiff_core.referee.network import FILE

    model, device = _begin(args)
    options = leakage_suite.LeakageOptions(
        folder=args.out,
        model=model,
        adapter=args.adapter,
        referee=args.referee or FILE,
        prompts=args.prompts or (QUICK_PROMPTS[2] if args.quick else leakage_suite.PROMPTS),
        seeds=SEEDS[:1] if args.quick else SEEDS,
        seed=FIRST_SEED if args.seed is None else args.seed,
        word_gatings=tuple(args.word_gating or leakage_suite.WORD_GATINGS),
        device=device,
    )
    sys.stdout.write(leakage_suite.leakage_markdown(leakage_suite.evaluate_leakage(options)))
    return 0


def run_photo_balance_suite(args: argparse.Namespace) -> int:
    """Measure unlike numbers of photos; errors as ``evaluation.toybox.photo_balance_suite.evaluate_photo_balance``."""
    from mmdiff_core.evaluation.toybox import photo_balance_suite
    from mmdiff_core.evaluation.toybox.toybox_cases import QUICK_PROMPTS
    from mmdiff_core.referee.network import FILE

    model, device = _begin(args)
    options = photo_balance_suite.PhotoBalanceOptions(
        folder=args.out,
        model=model,
        referee=args.referee or FILE,
        prompts=args.prompts or (QUICK_PROMPTS[2] if args.quick else photo_balance_suite.PROMPTS),
        device=device,
    )
    sys.stdout.write(photo_balance_suite.photo_balance_markdown(photo_balance_suite.evaluate_photo_balance(options)))
    return 0


def run_conflict_suite(args: argparse.Namespace) -> int:
    """Measure words against photos; errors as ``evaluation.toybox.conflict_suite.evaluate_conflicts``."""
    from mmdiff_core.evaluation.toybox import conflict_suite
    from mmdiff_core.evaluation.toybox.toybox_cases import QUICK_PROMPTS, SEEDS
    from mmdiff_core.referee.network import FILE

    model, device = _begin(args)
    options = conflict_suite.ConflictOptions(
        folder=args.out,
        model=model,
        referee=args.referee or FILE,
        prompts=args.prompts or (QUICK_PROMPTS[2] if args.quick else conflict_suite.PROMPTS),
        seeds=SEEDS[:1] if args.quick else SEEDS,
        device=device,
    )
    sys.stdout.write(conflict_suite.conflicts_markdown(conflict_suite.evaluate_conflicts(options)))
    return 0


def run_pointing_suite(args: argparse.Namespace) -> int:
    """Measure how well attention maps point; errors as ``evaluation.pointing.run.evaluate_pointing``."""
    from mmdiff_core.evaluation.pointing.run import QUICK_SCENES, SCENES, PointingOptions, evaluate_pointing

    model, device = _begin(args)
    scenes = QUICK_SCENES if args.quick else SCENES
    if args.prompts is not None:
        scenes = {1: (args.prompts + 1) // 2, 2: args.prompts, 3: (args.prompts + 1) // 2}
    sys.stdout.write(evaluate_pointing(PointingOptions(args.out, model, scenes, device)))
    return 0
