"""``python -m mmdiff_core benchmark``: how long a step takes beside the stock pipeline's, and everything around it."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    import torch

MODELS = ("toybox", "sd15", "sdxl", "tiny")
USUAL = ("toybox", "sd15", "sdxl")
ROUNDS = {"toybox": 30, "sd15": 7, "sdxl": 7, "tiny": 5}
QUICK_ROUNDS = 2

logger = logging.getLogger(__name__)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``benchmark`` and ``presets``; importing torch waits until one runs."""
    _add_benchmark(subparsers)
    _add_presets(subparsers)


def _add_benchmark(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "benchmark",
        help="measure how fast it is beside the stock pipeline and others",
        description="Times denoising steps in turn, so that a busy machine treats all alike, and tells median ratios. "
        "UNets have random weights; the figures around them are the built-in model's.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("bench"), help="folder for speed.json, speed.md, speed.png and about.json")
    add("--models", nargs="*", default=list(USUAL), metavar="MODEL", help=f"UNet sizes, of: {' '.join(MODELS)}")
    add("--rounds", type=int, help="how often each is timed; by default what suits the size")
    add("--quick", action="store_true", help="two rounds of everything, and no start of the app")
    add("--only-steps", action="store_true", help="leave out pictures, memory, start-up, training and rendering")
    add("--device", default="auto", help="auto takes CUDA where there is one")
    add(
        "--clock", choices=("wall", "cpu"), default="wall",
        help="cpu counts this process's own time, for a CPU that others use",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _add_presets(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "presets",
        help="compare solvers, steps and guidance for the built-in model",
        description="Makes the same pictures of two held-out toys in several ways, judged by the referee.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("presets"), help="folder for presets.json and presets.md")
    add("--prompts", type=int, default=8, help="how many pictures of each way")
    add("--model", type=Path, help="a model folder of training (default: the shipped weights)")
    add(
        "--ways", nargs="*", metavar="SOLVER:STEPS:GUIDANCE", help="the first is what the others are held against; by "
        "default the usual twenty steps and some with fewer",
    )  # fmt: skip
    add("--clock", choices=("wall", "cpu"), default="wall", help="as of benchmark")
    parser.set_defaults(run=run_presets)


def run_presets(args: argparse.Namespace) -> int:
    """Compare, write as it goes, and show the table.

    Raises:
        SettingsError: a way cannot be read.
    """
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.toybox import FOLDER, load_toybox
    from mmdiff_core.benchmarks.presets import CANDIDATES, Candidate, compare, to_json, to_markdown
    from mmdiff_core.evaluation.toybox.suite import draw_toybox_cases
    from mmdiff_core.referee.network import FILE, load_referee

    if args.prompts < 1:
        raise SettingsError(f"--prompts must be at least 1, but is {args.prompts}.")
    candidates = [Candidate.read(text) for text in args.ways or CANDIDATES]
    quiet_libraries()
    backbone, adapter = load_toybox(args.model or FOLDER)
    referee = load_referee(FILE, "cpu")
    cases = draw_toybox_cases(backbone.vocabulary, {2: args.prompts})
    args.out.mkdir(parents=True, exist_ok=True)
    scores = []
    for score in compare(backbone, adapter, referee, cases, candidates, args.clock):
        scores.append(score)
        (args.out / "presets.json").write_text(to_json(scores), encoding="utf-8")
        (args.out / "presets.md").write_text(to_markdown(scores), encoding="utf-8")
    sys.stdout.write(to_markdown(scores))
    return 0


def run(args: argparse.Namespace) -> int:
    """Measure, write, and show the table.

    Raises:
        SettingsError: there is no such size, or the numbers make no sense.
    """
    if strange := [name for name in args.models if name not in MODELS]:
        raise SettingsError(f'There is no model "{strange[0]}" to time: choose among {", ".join(MODELS)}.')
    if args.rounds is not None and args.rounds < 1:
        raise SettingsError(f"--rounds must be at least 1, but is {args.rounds}.")

    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.benchmarks.report import machine, to_markdown, write

    logger.setLevel(logging.INFO)
    quiet_libraries()
    device = choose_device(args.device)
    if args.clock == "cpu" and device.type != "cpu":
        raise SettingsError("--clock cpu counts what the CPU does: leave it out on a GPU.")
    args.out.mkdir(parents=True, exist_ok=True)
    figures = {} if args.only_steps else _around(args, device)
    steps: dict[str, Any] = {}
    titles: dict[str, str] = {}
    about = {"machine": machine(device, args.clock), "models": titles, "figures": figures}
    files = write(args.out, steps, titles, about)
    for name, found, what in _steps(args, device):
        steps[name], titles[name] = found, what
        files = write(args.out, steps, titles, about)  # the next one may take an hour, or be stopped
    sys.stdout.write(to_markdown(steps, titles, about))
    sys.stdout.write("".join(f"{file}\n" for file in files))
    return 0


def _rounds(args: argparse.Namespace, usual: int) -> int:
    return args.rounds or (QUICK_ROUNDS if args.quick else usual)


def _steps(args: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Name, summary and description of each model; one model is in memory at a time."""
    from mmdiff_core.backbones.placement import choose_dtype
    from mmdiff_core.benchmarks.bench_models import bench_model
    from mmdiff_core.benchmarks.methods import make_methods
    from mmdiff_core.benchmarks.report import summary
    from mmdiff_core.benchmarks.timing import alternate

    for name in args.models:
        rounds = _rounds(args, ROUNDS[name])
        logger.info("%s: steps of a guided pair, %d rounds ...", name, rounds)
        model = bench_model(name, device, choose_dtype("auto", device))
        yield name, summary(alternate(make_methods(model), rounds, device, args.clock)), model.what


def _around(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """The built-in model as a whole. Memory first: it is the process's highest so far."""
    from mmdiff_core.benchmarks import end_to_end
    from mmdiff_core.pipeline import Personalizer

    rounds = _rounds(args, 5)
    personalizer = Personalizer.from_assets(device)
    logger.info("the built-in model: pictures ...")
    figures: dict[str, Any] = {"peak_memory_mb": [end_to_end.peak_memory_mb(personalizer, device)]}
    figures |= end_to_end.pictures(personalizer, rounds, device, args.clock)
    figures["adapter_load_s"] = end_to_end.adapter_load_s(rounds, device, args.clock)
    logger.info("rendering and training ...")
    count, size = (2, 32) if args.quick else (16, 256)
    figures["rendered_per_s"] = end_to_end.rendered_per_s(rounds, count, size, device, args.clock)
    backbone, adapter = personalizer.backbone, personalizer.adapter
    assert adapter is not None  # the built-in model brings one
    figures |= end_to_end.training(backbone, adapter, rounds, 2 if args.quick else 8, args.clock)  # type: ignore[arg-type]
    if not args.quick:
        logger.info("starting the app ...")
        figures["startup_s"] = end_to_end.startup_s(min(rounds, 3))
    return figures
