"""``python -m mmdiff_core evaluate``: how well a model shows its subjects; a suite for each question."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.cli.model_flags import add_built_in_flags, add_model_flags, built_in_folder, load_from_flags
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.evaluation.dreambench.suite import DreamBenchOptions


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
    _add_dreambench(suites)


def _add_toybox(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "toybox",
        help="how well the built-in model shows toys that it never saw",
        description="Measure the built-in model, or one that training wrote, on prompts with one, two and three toys "
        "that it never saw; the referee judges.",
    )
    _add_common(parser)
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
    _add_common(parser)
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
    _add_common(parser)
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
    _add_common(parser)
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
    _add_common(parser)
    parser.add_argument("--prompts", type=int, help="scenes with two subjects; half as many with one and with three")
    add_built_in_flags(parser, referee=False)
    parser.set_defaults(run=run_pointing_suite)


def _add_dreambench(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = suites.add_parser(
        "dreambench",
        help="how well a model shows the subjects of photos, by CLIP and DINO",
        description="Measure a model on a folder in DreamBench's layout, by CLIP and DINO. Under torchrun, the "
        "processes share the work.",
    )
    _add_common(parser)
    add = parser.add_argument
    add(
        "--dataset", type=Path, required=True, metavar="FOLDER", help="a folder that holds a folder of photos for each "
        "subject",
    )  # fmt: skip
    add("--prompts", type=int, help="how many of each subject's 25 prompts (default: all)")
    add("--images", type=int, help="images of each prompt (default: 4)")
    add("--pairs", type=int, help="pairs of subjects (default: 30)")
    add("--references", type=int, help="photos of a subject that the model sees (default: 1)")
    add("--steps", type=int, help="denoising steps")
    add("--guidance", type=float, help="how closely to follow the prompt")
    add("--clip", metavar="NAME", help="CLIP that measures, a folder or a name in the hub's cache (default: ViT-B/32)")
    add("--dino", metavar="NAME", help="DINO that measures (default: ViT-S/16)")
    add("--faces", action="store_true", help="compare faces, too; needs requirements-face.txt")
    add_model_flags(parser)
    parser.set_defaults(run=run_dreambench_suite)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder for the report")
    parser.add_argument("--quick", action="store_true", help="few prompts, one image of each: under five minutes")


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


def run_dreambench_suite(args: argparse.Namespace) -> int:
    """Measure a model on photos.

    Raises:
        SettingsError: a number makes no sense.
        MMDiffError: a model or the dataset cannot be used.
    """
    check_launcher(os.environ)
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.encoders.face import InsightFaces
    from mmdiff_core.evaluation.dreambench.run import dreambench_markdown, evaluate_dreambench
    from mmdiff_core.evaluation.dreambench.similarity import Evaluators
    from mmdiff_core.evaluation.dreambench.suite import read_subjects
    from mmdiff_core.evaluation.result_folder import weights_fingerprint
    from mmdiff_core.weights.hub import CLIP_EVALUATOR, DINO_EVALUATOR

    quiet_libraries()
    options = _bench_options(args)
    read_subjects(options.dataset)  # before any model is loaded
    device = _device_of_process(args)
    faces = InsightFaces(device=device.split(":")[0]) if args.faces else None
    evaluators = Evaluators.load(args.clip or CLIP_EVALUATOR, args.dino or DINO_EVALUATOR, device, faces)
    personalizer = load_from_flags(argparse.Namespace(**{**vars(args), "device": device}))
    about = {
        "model": args.base or args.model,
        "adapter": args.adapter and f"{args.adapter.name} {weights_fingerprint(args.adapter)}",
        "text encoder 2 LoRA": args.text_encoder_2_lora,
        "image encoder": args.image_encoder or "the usual one",
        "dtype": str(personalizer.backbone.unet.dtype).removeprefix("torch."),
        "clip": args.clip or CLIP_EVALUATOR,
        "dino": args.dino or DINO_EVALUATOR,
        "device": device.split(":")[0],
    }
    table = evaluate_dreambench(personalizer, evaluators, options, about)
    sys.stdout.write("" if table is None else dreambench_markdown(table))
    return 0


def _bench_options(args: argparse.Namespace) -> DreamBenchOptions:
    """Return what the flags ask for; ``--quick`` is a few prompts with one image of each."""
    from mmdiff_core.evaluation.dreambench.suite import DreamBenchOptions

    check_at_least(args, prompts=1, images=1, pairs=0, references=1)
    given = {"images": args.images, "pairs": args.pairs, "references": args.references}
    given = {name: value for name, value in given.items() if value is not None}
    prompts = args.prompts or (2 if args.quick else None)
    options = DreamBenchOptions(args.dataset, args.out, prompts, steps=args.steps, guidance=args.guidance, **given)
    return replace(options, images=1, pairs=min(options.pairs, 2)) if args.quick else options


def _device_of_process(args: argparse.Namespace) -> str:
    """Return the chosen device; of several processes each takes its own GPU."""
    from accelerate import PartialState

    from mmdiff_core.backbones.placement import choose_device

    state = PartialState(cpu=args.device == "cpu")
    return str(state.device) if state.num_processes > 1 else str(choose_device(args.device))
