"""``python -m mmdiff_core annotate``: an annotated folder, to train on, from plain images."""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import SettingsError

if TYPE_CHECKING:
    from mmdiff_core.training.annotate.faces import FaceFinder


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "annotate",
        help="make an annotated folder, to train on, from plain images",
        description="Caption images, then find and outline what the captions name. The same command continues after a "
        "stop.",
    )
    add = parser.add_argument
    add("images", nargs="?", type=Path, metavar="IMAGES", help="a folder of images; FILE.txt is the caption of FILE")
    add("--out", type=Path, required=True, metavar="FOLDER", help="the annotated folder")
    add("--identities", action="store_true", help="the images of a subfolder show the same person or thing")
    add("--faces", action="store_true", help="store each person's face, for the recipe portrait; needs insightface")
    add(
        "--captioner", metavar="NAME", help="what writes captions, a folder or a name in the hub's cache (default: "
        "Salesforce/blip-image-captioning-large)",
    )  # fmt: skip
    add("--detector", metavar="NAME", help="what finds things (default: IDEA-Research/grounding-dino-base)")
    add("--segmenter", metavar="NAME", help="what outlines things (default: facebook/sam-vit-huge)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, or auto for a GPU if there is one (default: auto)")
    add("--threshold", type=float, default=0.3, help="lowest score of a detection that counts, 0 to 1 (default: 0.3)")
    add("--subjects", type=int, default=2, help="drop images with more subjects than that (default: 2)")
    add("--smallest", type=int, default=256, help="drop images with a side shorter than that, in pixels (default: 256)")
    add("--toys", type=int, metavar="N", help="instead of IMAGES: render N annotated images of toys, to try it")
    add("--size", type=int, default=256, help="side of the images of toys in pixels (default: 256)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Annotate; errors as ``training.annotate.run.annotate``."""
    if (args.images is None) == (args.toys is None):
        raise SettingsError("Give either a folder of IMAGES or --toys N.")
    if not 0 <= args.threshold <= 1 or args.subjects < 1 or (args.toys is not None and args.toys < 1):
        raise SettingsError("--threshold must be from 0 to 1, --subjects and --toys at least 1.")
    if args.toys is not None:
        return _render(args)
    return _annotate(args)


def _render(args: argparse.Namespace) -> int:
    from mmdiff_core.training.annotate.annotation_sheet import draw_contact_sheets
    from mmdiff_core.training.annotated.folder import AnnotatedFolder
    from mmdiff_core.training.annotated.toy_folder import render_folder

    render_folder(args.out, args.toys, args.size)
    draw_contact_sheets(AnnotatedFolder(args.out), args.out)
    sys.stdout.write(f"{args.toys} annotated images in {args.out}\n")
    return 0


def _annotate(args: argparse.Namespace) -> int:
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.backbones.placement import choose_device
    from mmdiff_core.training.annotate import annotators
    from mmdiff_core.training.annotate.rules import Annotators, Rules
    from mmdiff_core.training.annotate.run import REPORT, AnnotateOptions, annotate, find_images

    quiet_libraries()
    logging.getLogger("mmdiff_core").setLevel(logging.INFO)
    device = str(choose_device(args.device))
    options = AnnotateOptions(args.images, args.out, args.identities, face_finder(device) if args.faces else None)
    find_images(options)  # before the models are opened
    trio = Annotators(
        annotators.BlipCaptioner(args.captioner or annotators.CAPTIONER, device),
        annotators.GroundingDino(args.detector or annotators.DETECTOR, device, args.threshold),
        annotators.Sam(args.segmenter or annotators.SEGMENTER, device),
    )
    outcomes = annotate(options, trio, Rules(smallest_side=args.smallest, subjects=args.subjects))
    kept = sum(outcome.image_id is not None for outcome in outcomes)
    sys.stdout.write(f"{kept} of {len(outcomes)} images annotated; {args.out / REPORT} says why the others are not\n")
    return 0


def face_finder(device: str) -> FaceFinder:
    """Return what finds faces, by insightface.

    Raises:
        SettingsError: insightface is not installed.
        ModelError: its models are missing.
    """
    try:
        module = import_module("mmdiff_core.encoders.face")
    except ImportError as error:
        raise SettingsError("--faces needs insightface: pip install -r requirements-face.txt.") from error
    return module.InsightFaces(device=device)
