"""``python -m mmdiff_core evaluate`` measures the built-in model, ``train-referee`` makes the judge that does it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.cli.model_flags import BUILT_IN, add_model_flags, load_from_flags
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.evaluation.dreambench.suite import BenchOptions
    from mmdiff_core.referee.train import Phase

SUITES = {  # with the flags that are for them alone
    "toybox": ("seed", "referee"),
    "dreambench": (
        "dataset", "pictures", "pairs", "references", "steps", "guidance", "clip", "dino", "faces", "base", "adapter",
        "image_encoder", "text_encoder_2_lora",
    ),
    "binding": ("seed", "referee", "bindings", "adapter"),
}  # fmt: skip


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the commands ``evaluate`` and ``train-referee``."""
    _add_evaluate(subparsers)
    _add_train(subparsers)


def _add_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a model: on toys that it never saw, or on photos as the field does",
        description="Measure a model on held-out toys, or on a folder in DreamBench's layout. Ctrl-C stops; the same "
        "command goes on. Under torchrun, dreambench is spread over the processes.",
    )
    parser.add_argument("--suite", default="toybox", help=f"of: {', '.join(SUITES)}")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the report")
    parser.add_argument("--quick", action="store_true", help="few prompts and one picture of each: under five minutes")
    parser.add_argument("--prompts", type=int, help="prompts for one and for two subjects, half as many for three; of "
                        "dreambench, how many of each subject's 25")  # fmt: skip
    add_model_flags(parser)
    _add_toybox(parser.add_argument_group("toybox and binding").add_argument)
    _add_dreambench(parser.add_argument_group("dreambench").add_argument)
    parser.set_defaults(run=run_evaluate)


def _add_toybox(add: Callable[..., object]) -> None:
    add("--seed", type=int, help="the first identity, 900000 or more")
    add("--referee", type=Path, help="its file (default: the shipped one)")
    add("--bindings", type=float, nargs="+", help="what the suite binding compares; 0 0.5 0.8 1")


def _add_dreambench(add: Callable[..., object]) -> None:
    add("--dataset", type=Path, metavar="FOLDER", help="a folder of photos for each subject")
    add("--pictures", type=int, help="of each prompt, 4")
    add("--pairs", type=int, help="pairs of subjects, 30")
    add("--references", type=int, help="photos of a subject that the model sees, 1")
    add("--steps", type=int, help="denoising steps")
    add("--guidance", type=float, help="how closely to follow the prompt")
    add("--clip", metavar="NAME", help="CLIP that measures, a folder or a name in the hub's cache; ViT-B/32")
    add("--dino", metavar="NAME", help="DINO that measures; ViT-S/16")
    add("--faces", action="store_true", help="compare faces, too; takes requirements-face.txt")


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
    parser.add_argument("--phases", nargs="*", help="of: coarse fine presence (default: all)")
    parser.add_argument("--steps", type=int, help="steps of each phase, instead of its own")
    parser.add_argument("--batch", type=int, help="pictures of a step of each phase")
    parser.add_argument("--pool", type=int, default=30_000, help="scenes to render")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--check", action="store_true", help="train nothing; measure the run's referee, or --start's")
    parser.add_argument("--scenes", type=int, default=600, help="held-out scenes of --check, at 256 and at 96 pixels")
    parser.set_defaults(run=run_train)


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate; raises SettingsError for a suite that does not exist or too few prompts."""
    from mmdiff_core.backbones.loading import quiet_libraries

    quiet_libraries()
    if args.suite not in SUITES:
        raise SettingsError(f'There is no suite "{args.suite}". Choose among {", ".join(SUITES)}.')
    if args.prompts is not None and args.prompts < 1:
        raise SettingsError(f"The number of prompts is {args.prompts}; choose 1 or more.")
    foreign = {name for names in SUITES.values() for name in names} - {*SUITES[args.suite]}
    if strange := sorted(name for name in foreign if (value := getattr(args, name)) is not None and value is not False):
        raise SettingsError(f"--{strange[0].replace('_', '-')} is not for the suite {args.suite}: leave it out.")
    return {"toybox": _toybox, "dreambench": _dreambench, "binding": _binding}[args.suite](args)


def _toybox(args: argparse.Namespace) -> int:
    """Held-out toys, by the referee."""
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.backbones.toybox import FOLDER
    from mmdiff_core.evaluation.toybox.report import to_markdown
    from mmdiff_core.evaluation.toybox.run import SuiteOptions, evaluate
    from mmdiff_core.evaluation.toybox.suite import FIRST_SEED, PROMPTS, QUICK_PROMPTS, SEEDS
    from mmdiff_core.referee.network import FILE

    prompts = QUICK_PROMPTS if args.quick else PROMPTS
    if args.prompts is not None:
        prompts = {1: args.prompts, 2: args.prompts, 3: max(1, args.prompts // 2)}
    options = SuiteOptions(
        folder=args.out,
        model=FOLDER if args.model == BUILT_IN else Path(args.model),
        referee=args.referee or FILE,
        prompts=prompts,
        seeds=SEEDS[:1] if args.quick else SEEDS,
        seed=FIRST_SEED if args.seed is None else args.seed,
        device=str(choose_device(args.device)),
    )
    sys.stdout.write(to_markdown(evaluate(options)))
    return 0


def _binding(args: argparse.Namespace) -> int:
    """Two subjects at several bindings, by the referee."""
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.backbones.toybox import FOLDER
    from mmdiff_core.evaluation.toybox.leakage_suite import (
        BINDINGS,
        PROMPTS,
        BindingOptions,
        compare_bindings,
        to_markdown,
    )
    from mmdiff_core.evaluation.toybox.suite import FIRST_SEED, QUICK_PROMPTS, SEEDS
    from mmdiff_core.referee.network import FILE

    options = BindingOptions(
        folder=args.out,
        model=FOLDER if args.model == BUILT_IN else Path(args.model),
        adapter=args.adapter,
        referee=args.referee or FILE,
        prompts=args.prompts or (QUICK_PROMPTS[2] if args.quick else PROMPTS),
        seeds=SEEDS[:1] if args.quick else SEEDS,
        seed=FIRST_SEED if args.seed is None else args.seed,
        bindings=tuple(args.bindings or BINDINGS),
        device=str(choose_device(args.device)),
    )
    sys.stdout.write(to_markdown(compare_bindings(options)))
    return 0


def _dreambench(args: argparse.Namespace) -> int:
    """Photos, by CLIP and DINO."""
    check_launcher(os.environ)
    from mmdiff_core.encoders.face import InsightFaces
    from mmdiff_core.evaluation.dreambench.run import evaluate, to_markdown
    from mmdiff_core.evaluation.dreambench.similarity import Judges
    from mmdiff_core.evaluation.dreambench.suite import BenchOptions, read_subjects
    from mmdiff_core.evaluation.toybox.run import fingerprint
    from mmdiff_core.weights.hub import CLIP_JUDGE, DINO_JUDGE

    options = _bench_options(args, BenchOptions)
    read_subjects(options.dataset)  # before any model is loaded
    device = _device_of_process(args)
    faces = InsightFaces(device=device.split(":")[0]) if args.faces else None
    judges = Judges.load(args.clip or CLIP_JUDGE, args.dino or DINO_JUDGE, device, faces)
    personalizer = load_from_flags(argparse.Namespace(**{**vars(args), "device": device}))
    about = {
        "model": args.base or args.model,
        "adapter": args.adapter and f"{args.adapter.name} {fingerprint(args.adapter)}",
        "text encoder 2 LoRA": args.text_encoder_2_lora,
        "image encoder": args.image_encoder or "the usual one",
        "dtype": str(personalizer.backbone.unet.dtype).removeprefix("torch."),
        "clip": args.clip or CLIP_JUDGE,
        "dino": args.dino or DINO_JUDGE,
        "device": device.split(":")[0],
    }
    table = evaluate(personalizer, judges, options, about)
    sys.stdout.write("" if table is None else to_markdown(table))
    return 0


def _bench_options(args: argparse.Namespace, kind: type[BenchOptions]) -> BenchOptions:
    """The flags of dreambench; ``--quick`` is a few prompts with one picture of each."""
    if args.dataset is None:
        raise SettingsError("The dreambench suite needs --dataset FOLDER, with a folder of photos for each subject.")
    least = {"pictures": 1, "pairs": 0, "references": 1}
    given = {name: value for name in least if (value := getattr(args, name)) is not None}
    for name, value in given.items():
        if value < least[name]:
            raise SettingsError(f"--{name} must be at least {least[name]}, but is {value}.")
    prompts = args.prompts or (2 if args.quick else None)
    options = kind(args.dataset, args.out, prompts, steps=args.steps, guidance=args.guidance, **given)
    return replace(options, pictures=1, pairs=min(options.pairs, 2)) if args.quick else options


def _device_of_process(args: argparse.Namespace) -> str:
    """The device that was asked for; of several processes each takes its own GPU."""
    from accelerate import PartialState

    from mmdiff_core.backbones.placement import choose_device

    state = PartialState(cpu=args.device == "cpu")
    return str(state.device) if state.num_processes > 1 else str(choose_device(args.device))


def run_train(args: argparse.Namespace) -> int:
    """Train the referee, or measure it; raises SettingsError for a world that does not exist."""
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.referee.train import RefereeCheckOptions, RefereeTrainingOptions, check_referee, train_referee
    from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, WHOLE_WORLD

    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    device = str(choose_device(args.device))
    worlds = {"whole": WHOLE_WORLD, "first": FIRST_WORLD}
    if args.world not in worlds:
        raise SettingsError(f'There is no world "{args.world}". Choose among {", ".join(worlds)}.')
    if args.check:
        file = args.start or args.out / "referee.safetensors"
        sys.stdout.write(check_referee(RefereeCheckOptions(file, args.out, worlds[args.world], args.scenes, device)))
        return 0
    train_referee(
        RefereeTrainingOptions(args.out, worlds[args.world], args.start, args.minutes, device, _phases(args), args.pool)
    )
    return 0


def _phases(args: argparse.Namespace) -> tuple[Phase, ...]:
    """The phases that were asked for; raises SettingsError for one that does not exist."""
    from mmdiff_core.referee.train import PHASES

    names = [phase.name for phase in PHASES] if args.phases is None else args.phases
    if strange := [name for name in names if name not in [phase.name for phase in PHASES]]:
        known = ", ".join(phase.name for phase in PHASES)
        raise SettingsError(f"There is no phase {strange[0]}. Choose among {known}.")
    changes = {name: value for name in ("steps", "batch") if (value := getattr(args, name)) is not None}
    return tuple(replace(phase, **changes) for phase in PHASES if phase.name in names)
