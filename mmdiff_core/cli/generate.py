"""``python -m mmdiff_core generate``: photos and a prompt to images, overlays, maps and settings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.model_flags import add_model_flags, load_from_flags
from mmdiff_core.cli.subject_flags import add_subject_flags, subjects_from_flags
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.results import Step
    from mmdiff_core.types import GenerateRequest

EXAMPLE = """example:
  python -m mmdiff_core generate --prompt "a cat next to a robot on the beach" \\
      --subject cat=a.png,b.png --subject robot=c.png --seed 7 --out out/
"""
COMPONENTS = ("vision_text", "refiner", "image_branch", "null_token")  # of types.Components


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "generate",
        help="generate images of the subjects in your photos",
        description="Generate images of the subjects in your photos, with a heatmap per subject.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--prompt",
        required=True,
        help="the image in words, with every subject; may weigh words: (hat:1.3), [hat]",
    )
    add_subject_flags(parser)
    add(
        "--word-gating", type=float, default=0.0, metavar="NUMBER", help="keep each subject where the image attends to "
        "its words, from 0 (off, the default) to 1",
    )  # fmt: skip
    add("--negative-prompt", default="", help="what to keep out of the image")
    add("--seed", type=int, nargs="+", default=[0], help="one image for each seed (default: 0)")
    add("--images", type=int, metavar="N", help="N images, with seeds that count up from the first")
    add("--steps", type=int, help="denoising steps (default: the model's own)")
    add("--fast", action="store_true", help="fewer steps at little loss, if the model has a preset for it")
    add("--guidance", type=float, help="how closely to follow the prompt; 1 or less switches guidance off")
    add("--start-step", type=int, metavar="STEP", help="the first step that sees the photos")
    add(
        "--scheduler", metavar="NAME", help="dpm++, unipc, ddim or sde; not on Toybox also euler, euler-a, heun, lcm, "
        "dpm++-karras and sde-karras; distilled: the model's student for few steps, if it has one, in its own steps at "
        "most and without guidance (default: the model's own)",
    )  # fmt: skip
    add("--clip-skip", type=int, default=0, metavar="N", help="leave out the text encoder's last N layers (default: 0)")
    add(
        "--guidance-rescale", type=float, default=0.0, metavar="NUMBER", help="take back the contrast that guidance "
        "adds, from 0 (off, the default) to 1",
    )  # fmt: skip
    add(
        "--balance-photos", action="store_true", help="a subject with many photos counts no more than one with few",
    )  # fmt: skip
    add(
        "--without", nargs="+", default=[], metavar="COMPONENT", choices=COMPONENTS, help="components of the method to "
        f"switch off: {', '.join(COMPONENTS)}",
    )  # fmt: skip
    add("--image", metavar="FILE", help="start from this image; what does not fit the size is cut off")
    add(
        "--image-strength", type=float, default=0.6, metavar="NUMBER", help="how much of that image may "
        "change, above 0 and up to 1 (default: 0.6)",
    )  # fmt: skip
    add("--width", type=int, help="in pixels (default: the model's own)")
    add("--height", type=int, help="in pixels (default: the model's own)")
    add(
        "--map", choices=("text", "image", "influence"), help="kind of map in the overlays (default: image, or the "
        "next one that is not flat)",
    )  # fmt: skip
    add("--no-maps", action="store_true", help="record no maps, which is a little faster")
    add("--per-head", action="store_true", help="keep the maps of every attention head")
    add("--per-photo", action="store_true", help="also the image map of each photo of a subject: which gave what")
    add("--out", type=Path, default=Path("out"), metavar="FOLDER", help="where the results go (default: out/)")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Generate the images, and write each as soon as it is finished.

    Raises:
        MMDiffError: a flag, a photo or the model cannot be used.
    """
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.output.export import write_image

    request = read_request(args)
    quiet_libraries()
    personalizer = load_from_flags(args)
    if args.fast:
        request = personalizer.in_few_steps(request)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f'The folder "{args.out}" cannot be made: {error.strerror}.') from error
    if not request.subjects:
        sys.stderr.write("There is no --subject, so the image is made from the prompt alone.\n")
    written: list[dict[str, object]] = []
    for step in _with_progress(personalizer.generate(request)):
        if step.finished is not None:
            stem = f"{step.image_index + 1}_seed{step.finished.seed}"
            files = write_image(step.finished, args.out, stem, args.map)
            written.append({**step.finished.settings, "files": [file.name for file in files]})
            _write_settings(args.out / "settings.json", args.subject, written)
            sys.stdout.write("".join(f"{file}\n" for file in files))
    sys.stdout.write(f"{args.out / 'settings.json'}\n")
    return 0


def read_request(args: argparse.Namespace) -> GenerateRequest:
    """Return the request that the flags describe.

    Raises:
        SettingsError: a flag cannot be read.
        PhotoError: a photo cannot be used.
    """
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Components, GenerateRequest, Recording

    check_at_least(args, images=1)
    seeds = args.seed if args.images is None else range(args.seed[0], args.seed[0] + args.images)
    return GenerateRequest(
        prompt=args.prompt,
        subjects=subjects_from_flags(args),
        word_gating=args.word_gating,
        negative_prompt=args.negative_prompt,
        seeds=tuple(seeds),
        steps=args.steps,
        guidance=args.guidance,
        start_step=args.start_step,
        scheduler=args.scheduler,
        clip_skip=args.clip_skip,
        guidance_rescale=args.guidance_rescale,
        balance_photos=args.balance_photos,
        components=Components(**{name: name not in args.without for name in COMPONENTS}),
        image=None if args.image is None else load_photo(args.image),
        image_strength=args.image_strength,
        width=args.width,
        height=args.height,
        recording=None if args.no_maps else Recording(per_head=args.per_head, per_photo=args.per_photo),
    )


def _with_progress(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield the steps under one progress bar for all images."""
    from tqdm import tqdm

    with tqdm(desc="image 1", unit="step") as bar:
        for step in steps:
            bar.total = step.steps * step.image_count
            bar.set_description(f"image {step.image_index + 1} of {step.image_count}", refresh=False)
            bar.update()
            yield step


def _write_settings(path: Path, subjects: Sequence[str], images: Sequence[Mapping[str, object]]) -> None:
    from mmdiff_core.atomic_files import write_text

    text = json.dumps({"subjects": list(subjects), "pictures": list(images)}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")
