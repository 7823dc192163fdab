"""``python -m mmdiff_core attention``: a prompt to images and where they look at each of its words."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.flag_checks import check_at_least
from mmdiff_core.cli.generate import COMPONENTS
from mmdiff_core.cli.model_flags import add_model_flags, load_from_flags
from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.types import GenerateRequest

PLAIN = ("vision_text", "image_branch")  # what is off in the plain model
SCALES = ("share", "among_words", "contrast", "z")  # of inspection.token_maps
EXAMPLE = """example:
  python -m mmdiff_core attention --prompt "a cat on the beach" --words cat,beach --concepts dog --out maps/
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "attention",
        help="show where an image looks at each word of its prompt",
        description="Generate images from a prompt, without photos, and show where they look at each of its words.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--prompt", required=True, help="the image in words")
    add("--words", type=names, metavar="WORDS", help="words of the prompt, with commas between them; the others are "
        "recorded in one sum (default: every word)")  # fmt: skip
    add("--concepts", type=names, default=(), metavar="WORDS", help="words that are not in the prompt: where the "
        "image would look at them if they were; the image stays the same")  # fmt: skip
    add("--scale", choices=SCALES, default="share", help="of overlays and figure: the share of all attention "
        "(default), that among the words, the difference from the words' mean, or standard deviations")  # fmt: skip
    add("--map-budget", default="200MB", metavar="SIZE", help="memory that the maps of an image may take; what is kept "
        "is halved until it fits (default: 200MB)")  # fmt: skip
    add("--per-head", action="store_true", help="keep the maps of every attention head")
    add("--self-attention", type=int, metavar="STEP", help="also where each pixel looks in the image itself, in this "
        "step, counted from 1, and the finest layer of at most 32 x 32 pixels: click the image in the "
        "report")  # fmt: skip
    add("--negative-prompt", default="", help="what to keep out of the image")
    add("--seed", type=int, nargs="+", default=[0], help="one image for each seed (default: 0)")
    add("--steps", type=int, help="denoising steps (default: the model's own)")
    add("--guidance", type=float, help="how closely to follow the prompt; 1 or less switches guidance off")
    add("--scheduler", metavar="NAME", help='as of "generate" (default: the model\'s own)')
    add("--clip-skip", type=int, default=0, metavar="N", help='as of "generate"')
    add("--guidance-rescale", type=float, default=0.0, metavar="NUMBER", help='as of "generate"')
    add("--image", metavar="FILE", help="start from this image; what does not fit the size is cut off")
    add("--image-strength", type=float, default=0.6, metavar="NUMBER", help='as of "generate" (default: 0.6)')
    add("--without", nargs="*", metavar="COMPONENT", choices=COMPONENTS, help="components of the adapter to switch "
        f"off; without a name, none (default: {' and '.join(PLAIN)}, which gives the plain model)")  # fmt: skip
    add("--start-step", type=int, metavar="STEP", help="the first step that the adapter changes, with --without")
    add("--width", type=int, help="in pixels (default: the model's own)")
    add("--height", type=int, help="in pixels (default: the model's own)")
    add("--out", type=Path, default=Path("maps"), metavar="FOLDER", help="where the results go (default: maps/)")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def names(text: str) -> tuple[str, ...]:
    """Return the words between commas."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def run(args: argparse.Namespace) -> int:
    """Generate the images, and write each and its maps as soon as it is finished.

    Raises:
        MMDiffError: a flag or the model cannot be used.
    """
    from tqdm import tqdm

    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.inspection.map_files import write_token_maps
    from mmdiff_core.inspection.prompt_recorder import looking_layer
    from mmdiff_core.inspection.token_collector import TokenRecording
    from mmdiff_core.output.export import write_image

    check_at_least(args, steps=1, self_attention=1)
    if args.adapter is not None and args.without is None:
        raise SettingsError(
            "This command shows the plain model: leave --adapter out, or say with --without what of it to switch off."
        )
    quiet_libraries()
    personalizer = load_from_flags(args)
    request = read_request(args)
    looks = None
    if args.self_attention is not None:
        made = personalizer.plan(request).numbers.steps
        if args.self_attention > made:
            raise SettingsError(f"There is no step {args.self_attention} for --self-attention: the image has {made}.")
        width, height = personalizer.sizes.default
        layer = looking_layer(personalizer.backbone, args.width or width, args.height or height)
        looks = (layer, args.self_attention - 1)
    tokens = TokenRecording(
        args.words or None, args.concepts, args.per_head, budget=args.map_budget, self_attention=looks
    )
    steps = personalizer.inspect(request, tokens)
    args.out.mkdir(parents=True, exist_ok=True)
    asked = [*args.words, *args.concepts] if args.words else None
    for inspected in tqdm(steps, unit="step"):
        finished = inspected.step.finished
        if finished is not None:
            stem = f"{inspected.step.image_index + 1}_seed{finished.seed}"
            files = write_image(finished, args.out, stem)
            files += write_token_maps(finished.image, inspected.tokens, args.out, stem, asked, args.scale)
            sys.stdout.write("".join(f"{file}\n" for file in files))
            if inspected.tokens.dropped:
                sys.stderr.write(f"{inspected.tokens.dropped}\n")
    return 0


def read_request(args: argparse.Namespace) -> GenerateRequest:
    """Return the request that the flags describe: without photos, and of the plain model unless they say otherwise.

    Raises:
        PhotoError: the image to start from cannot be used.
    """
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Components, GenerateRequest

    without = PLAIN if args.without is None else args.without
    return GenerateRequest(
        prompt=args.prompt,
        negative_prompt=args.negative_prompt,
        seeds=tuple(args.seed),
        steps=args.steps,
        guidance=args.guidance,
        start_step=0 if args.without is None else args.start_step,
        scheduler=args.scheduler,
        width=args.width,
        height=args.height,
        clip_skip=args.clip_skip,
        guidance_rescale=args.guidance_rescale,
        recording=None,
        components=Components(**{name: name not in without for name in COMPONENTS}),
        image=None if args.image is None else load_photo(args.image),
        image_strength=args.image_strength,
    )
