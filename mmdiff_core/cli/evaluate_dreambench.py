"""``python -m mmdiff_core evaluate dreambench``: how well a model shows the subjects of photos."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.launcher import check_launcher
from mmdiff_core.cli.model_flags import add_model_flags, add_report_flags, load_from_flags

if TYPE_CHECKING:
    from mmdiff_core.evaluation.dreambench.suite import DreamBenchOptions


def add_dreambench(suites: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the suite to those of ``evaluate``."""
    parser = suites.add_parser(
        "dreambench",
        help="how well a model shows the subjects of photos, by CLIP and DINO",
        description="Measure a model on a folder in DreamBench's layout, by CLIP and DINO. Under torchrun, the "
        "processes share the work.",
    )
    add_report_flags(parser)
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
