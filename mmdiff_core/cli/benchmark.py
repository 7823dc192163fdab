"""``python -m mmdiff_core benchmark``, the speed beside the stock pipeline, and ``presets``, for few steps."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    import torch

MODELS = ("toybox", "sd15", "sdxl", "tiny")
DEFAULT_MODELS = ("toybox", "sd15", "sdxl")
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
        help="measure the speed, compared with the stock pipeline and other methods",
        description="Time denoising steps in turn, so that a busy machine slows all methods alike, and report median "
        "ratios. The UNets have random weights; all other figures are the built-in model's.",
    )
    add = parser.add_argument
    add(
        "--out", type=Path, default=Path("bench"), metavar="FOLDER", help="where speed.json, speed.md, speed.png and "
        "about.json go (default: bench/)",
    )  # fmt: skip
    add(
        "--models", nargs="*", default=list(DEFAULT_MODELS), metavar="MODEL", help="UNet sizes, of: "
        f"{' '.join(MODELS)} (default: {' '.join(DEFAULT_MODELS)})",
    )  # fmt: skip
    add("--rounds", type=int, help="how often each step is timed (default: depends on the size)")
    add("--quick", action="store_true", help="two rounds of everything, without starting the app")
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--only-steps", action="store_true", help="leave out images, memory, start-up, training and rendering"
    )
    only.add_argument(
        "--only-map-memory", action="store_true", help="count the memory that attention maps take at full size; "
        "nothing is timed",
    )  # fmt: skip
    only.add_argument("--only-training", action="store_true", help="training alone: each stage against a plain loop")
    add("--device", default="auto", help="cpu, cuda, cuda:1, or auto for a GPU if there is one (default: auto)")
    _add_clock(add)
    parser.set_defaults(run=run)


def _add_clock(add: Callable[..., object]) -> None:
    add(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu counts this process's own time, for a machine "
        "that others use, too (default: wall)",
    )  # fmt: skip


def _add_presets(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "presets",
        help="compare schedulers, steps and guidance for the built-in model",
        description="Generate the same images of two held-out toys with several settings; the referee judges.",
    )
    add = parser.add_argument
    add(
        "--out", type=Path, default=Path("presets"), metavar="FOLDER", help="where presets.json and presets.md go "
        "(default: presets/)",
    )  # fmt: skip
    add("--prompts", type=int, default=8, help="images with each setting (default: 8)")
    add("--model", type=Path, metavar="FOLDER", help="a folder that training wrote (default: the built-in model)")
    add(
        "--candidates", nargs="*", metavar="SCHEDULER:STEPS:GUIDANCE", help="the others are compared with the first "
        "(default: twenty steps, and several settings with fewer)",
    )  # fmt: skip
    _add_clock(add)
    parser.set_defaults(run=run_presets)


def run_presets(args: argparse.Namespace) -> int:
    """Compare the candidates, write each result at once, and print the table.

    Raises:
        SettingsError: a candidate cannot be read.
    """
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.toybox import FOLDER, load_toybox
    from mmdiff_core.benchmarks.presets import (
        CANDIDATES,
        SamplingCandidate,
        compare_candidates,
        presets_json,
        presets_markdown,
    )
    from mmdiff_core.evaluation.toybox.toybox_cases import draw_toybox_cases
    from mmdiff_core.referee.network import FILE, load_referee

    check_at_least(args, prompts=1)
    candidates = [SamplingCandidate.read(text) for text in args.candidates or CANDIDATES]
    quiet_libraries()
    backbone, adapter = load_toybox(args.model or FOLDER)
    referee = load_referee(FILE, "cpu")
    cases = draw_toybox_cases(backbone.vocabulary, {2: args.prompts})
    args.out.mkdir(parents=True, exist_ok=True)
    scores = []
    for score in compare_candidates(backbone, adapter, referee, cases, candidates, args.clock):
        scores.append(score)
        (args.out / "presets.json").write_text(presets_json(scores), encoding="utf-8")
        (args.out / "presets.md").write_text(presets_markdown(scores), encoding="utf-8")
    sys.stdout.write(presets_markdown(scores))
    return 0


def run(args: argparse.Namespace) -> int:
    """Measure, write, and print the table.

    Raises:
        SettingsError: there is no such size, or the numbers make no sense.
    """
    if unknown := [name for name in args.models if name not in MODELS]:
        raise SettingsError(f'There is no model "{unknown[0]}" to time: choose among {", ".join(MODELS)}.')
    check_at_least(args, rounds=1)
    if args.only_map_memory:
        from mmdiff_core.benchmarks.map_memory import count_map_memory, memory_markdown

        sys.stdout.write(f"{memory_markdown(count_map_memory())}\n")
        return 0
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.benchmarks.report import describe_machine, speed_markdown, write_benchmark

    logger.setLevel(logging.INFO)
    quiet_libraries()
    device = choose_device(args.device)
    if args.clock == "cpu" and device.type != "cpu":
        raise SettingsError("--clock cpu counts what the CPU does: leave it out on a GPU.")
    args.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {} if args.only_steps or args.only_training else _around(args, device)
    if not args.only_steps:
        figures["training"] = _training(args, device)
    steps: dict[str, Any] = {}
    titles: dict[str, str] = {}
    about = {"machine": describe_machine(device, args.clock), "models": titles, "figures": figures}
    files = write_benchmark(args.out, steps, titles, about)
    for name, found, what in _steps(args, device):
        steps[name], titles[name] = found, what
        files = write_benchmark(args.out, steps, titles, about)  # the next one may take an hour, or be stopped
    sys.stdout.write(speed_markdown(steps, titles, about))
    sys.stdout.write("".join(f"{file}\n" for file in files))
    return 0


def _rounds(args: argparse.Namespace, usual: int) -> int:
    return args.rounds or (QUICK_ROUNDS if args.quick else usual)


def _steps(args: argparse.Namespace, device: torch.device) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the name, summary and description of each model; one model is in memory at a time."""
    from mmdiff_core.backbones.placement import choose_dtype
    from mmdiff_core.benchmarks.bench_models import bench_model
    from mmdiff_core.benchmarks.methods import make_methods
    from mmdiff_core.benchmarks.report import summary
    from mmdiff_core.benchmarks.timing import alternate

    for name in () if args.only_training else args.models:
        rounds = _rounds(args, ROUNDS[name])
        logger.info("%s: steps with guidance, %d rounds ...", name, rounds)
        model = bench_model(name, device, choose_dtype("auto", device))
        yield name, summary(alternate(make_methods(model), rounds, device, args.clock)), model.what


def _around(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure the built-in model as a whole; memory first, since it is the highest of the process so far."""
    from mmdiff_core.benchmarks import end_to_end
    from mmdiff_core.pipeline import Personalizer

    rounds = _rounds(args, 5)
    personalizer = Personalizer.from_assets(device)
    logger.info("the built-in model: images ...")
    figures: dict[str, Any] = {"peak_memory_mb": [end_to_end.peak_memory_mb(personalizer, device)]}
    figures |= end_to_end.image_times(personalizer, rounds, device, args.clock)
    figures["adapter_load_s"] = end_to_end.adapter_load_s(rounds, device, args.clock)
    logger.info("rendering ...")
    count, size = (2, 32) if args.quick else (16, 256)
    figures["rendered_per_s"] = end_to_end.rendered_per_s(rounds, count, size, device, args.clock)
    if not args.quick:
        logger.info("starting the app ...")
        figures["startup_s"] = end_to_end.startup_s(min(rounds, 3))
    return figures


def _training(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure the stages of training."""
    from mmdiff_core.benchmarks.training_speed import training_speed

    logger.info("training ...")
    return training_speed(_rounds(args, 3), device, args.clock, args.quick)
