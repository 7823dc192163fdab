"""``python -m mmdiff_core generate``: photos and a prompt to pictures, overlays, maps and settings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.cli.model_flags import add_model_flags, load_from_flags
from mmdiff_core.errors import PhotoError, SettingsError

if TYPE_CHECKING:
    from PIL import Image

    from mmdiff_core.pipeline import Personalizer
    from mmdiff_core.results import Step
    from mmdiff_core.types import Box, GenerateRequest, Subject

EXAMPLE = """example:
  python -m mmdiff_core generate --prompt "a cat next to a robot on the beach" \\
      --subject cat=a.png,b.png --subject robot=c.png --seed 7 --out out/
"""
PART_NAMES = ("vision_text", "refiner", "image_branch", "null_token")  # of types.Components
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; importing torch waits until it runs."""
    parser = subparsers.add_parser(
        "generate",
        help="make pictures of the subjects in your photos",
        description="Make pictures of the subjects in your photos, with a heatmap per subject.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--prompt", required=True, help="the picture in words; it names every subject")
    add("--subject", action="append", default=[], metavar="NAME=PHOTO[,PHOTO...]", help="files or a folder; repeatable")
    add("--strength", action="append", default=[], metavar="NAME=NUMBER", help="weight of a subject's photos, 1; of "
        "several subjects of one name each its own, in their order")  # fmt: skip
    add(
        "--region", action="append", default=[], metavar="NAME=REGION", help="where a subject may be: left,top,right,"
        "bottom in fractions of the picture, or a picture that is white there",
    )  # fmt: skip
    add(
        "--face", action="append", default=[], metavar="NAME=N[,N...]", help="adapters that read faces: which face of "
        "each photo, counted from the left; 0, the default, is the largest",
    )  # fmt: skip
    add(
        "--mix", action="append", default=[], metavar="NAME=W[,W...]", help="adapters that read faces: how much each "
        "photo's face counts, to mix several people into one subject; 1 each by default",
    )  # fmt: skip
    add("--binding", type=float, default=0.0, help="keep subjects apart by their words' maps, from 0 (off) to 1")
    add("--negative-prompt", default="", help="what to keep out of the picture")
    add("--seed", type=int, nargs="+", default=[0], help="one picture per seed")
    add("--pictures", type=int, metavar="N", help="N pictures with seeds counted up from the first")
    add("--steps", type=int, help="denoising steps")
    add("--fast", action="store_true", help="fewer steps at little loss, where the model has a preset for it")
    add("--guidance", type=float, help="how closely to follow the prompt; up to 1 is off")
    add("--start-step", type=int, help="first step that sees the photos")
    add(
        "--sampler", metavar="NAME", help="dpm++, unipc, euler (not on Toybox), ddim or sde; the model's own by default"
    )
    add(
        "--without", nargs="+", default=[], metavar="PART", choices=PART_NAMES,
        help=f"parts of the method to switch off: {', '.join(PART_NAMES)}",
    )  # fmt: skip
    add("--width", type=int, help="in pixels (default: the model's own)")
    add("--height", type=int, help="in pixels (default: the model's own)")
    add(
        "--map", choices=("text", "image", "influence"), help="kind of map in the overlays; image by default, or "
        "the next that tells something",
    )  # fmt: skip
    add("--no-maps", action="store_true", help="record no maps, which is a little faster")
    add("--per-head", action="store_true", help="keep the maps of every attention head")
    add("--out", type=Path, default=Path("out"), help="folder for the results, out/")
    add_model_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the pictures; each is written as soon as it is finished."""
    from mmdiff_core.backbones.loading import quiet_libraries
    from mmdiff_core.output.export import write_picture

    request = read_request(args)
    quiet_libraries()
    personalizer = load_from_flags(args)
    if args.fast:
        request = _in_a_hurry(request, personalizer)
    _make_folder(args.out)
    if not request.subjects:
        sys.stderr.write("There is no --subject, so the picture is made from the prompt alone.\n")
    written: list[dict[str, object]] = []
    for step in _with_progress(personalizer.generate(request)):
        if step.finished is not None:
            stem = f"{step.image_index + 1}_seed{step.finished.seed}"
            files = write_picture(step.finished, args.out, stem, args.map)
            written.append({**step.finished.settings, "files": [file.name for file in files]})
            _write_settings(args.out / "settings.json", args.subject, written)
            sys.stdout.write("".join(f"{file}\n" for file in files))
    sys.stdout.write(f"{args.out / 'settings.json'}\n")
    return 0


def _in_a_hurry(request: GenerateRequest, personalizer: Personalizer) -> GenerateRequest:
    """The request with the preset for few steps where it leaves the numbers open."""
    fast = personalizer.fast
    if fast is None:
        raise SettingsError(
            f'There is no preset for few steps of "{personalizer.backbone.name}": give --steps instead.'
        )
    return replace(
        request,
        steps=fast.steps if request.steps is None else request.steps,
        guidance=fast.guidance if request.guidance is None else request.guidance,
    )


def read_request(args: argparse.Namespace) -> GenerateRequest:
    """The request that the flags describe.

    Raises:
        SettingsError: a flag cannot be read.
        PhotoError: a photo cannot be used.
    """
    from mmdiff_core.types import Components, GenerateRequest, Recording

    if args.pictures is not None and args.pictures < 1:
        raise SettingsError(f"--pictures must be at least 1, but is {args.pictures}.")
    seeds = args.seed if args.pictures is None else range(args.seed[0], args.seed[0] + args.pictures)
    return GenerateRequest(
        prompt=args.prompt,
        subjects=with_choices(read_subjects(args.subject, args.strength, args.region), args.face, args.mix),
        word_gating=args.binding,
        negative_prompt=args.negative_prompt,
        seeds=tuple(seeds),
        steps=args.steps,
        guidance=args.guidance,
        start_step=args.start_step,
        scheduler=args.sampler,
        components=Components(**{part: part not in args.without for part in PART_NAMES}),
        width=args.width,
        height=args.height,
        recording=None if args.no_maps else Recording(per_head=args.per_head),
    )


def read_subjects(
    subjects: Sequence[str], strengths: Sequence[str], regions: Sequence[str] = ()
) -> tuple[Subject, ...]:
    """``cat=a.png,b.png``, ``cat=0.8`` and ``cat=0,0,0.5,1`` as subjects with loaded photos."""
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Subject

    pairs = [_split(text, "--subject", "cat=a.png,b.png") for text in subjects]
    names = [name for name, _ in pairs]
    given = zip(pairs, read_strengths(strengths, names), read_regions(regions, names), strict=True)
    return tuple(
        Subject(name, tuple(map(load_photo, _photo_files(name, paths))), strength, region=region)
        for (name, paths), strength, region in given
    )


def with_choices(subjects: Sequence[Subject], faces: Iterable[str], mixes: Iterable[str]) -> tuple[Subject, ...]:
    """Subjects with ``man=2,1`` (which face of each photo) and ``man=0.7,0.3`` (how much each counts) by name.

    Raises:
        SettingsError: a flag names no subject, or has not one number for each photo.
    """
    numbers, weights = _numbers_of(faces, "--face", subjects), _numbers_of(mixes, "--mix", subjects)
    for subject, chosen in zip(subjects, numbers, strict=True):
        if chosen is not None and not all(number >= 0 and number.is_integer() for number in chosen):
            raise SettingsError(
                f'--face of "{subject.name}" must be whole numbers: 1 is the face on the left, 0 the largest.'
            )
    return tuple(map(_with_choice, subjects, numbers, weights))


def _with_choice(subject: Subject, numbers: tuple[float, ...] | None, weights: tuple[float, ...] | None) -> Subject:
    from mmdiff_core.types import FaceChoice

    if numbers is None and weights is None:
        return subject
    photos = len(subject.photos)
    faces = (int(number) or None for number in numbers or (0.0,) * photos)
    return replace(subject, choices=tuple(map(FaceChoice, faces, weights or (1.0,) * photos)))


def _numbers_of(given: Iterable[str], flag: str, subjects: Sequence[Subject]) -> list[tuple[float, ...] | None]:
    """``man=2,1`` per subject, one number for each photo."""
    numbers: list[tuple[float, ...] | None] = []
    for subject, rest in zip(subjects, _dealt(given, flag, "man=1,2", [s.name for s in subjects]), strict=True):
        numbers.append(None if rest is None else _numbers(f"{flag} {subject.name}={rest}", rest, subject))
    return numbers


def _numbers(shown: str, rest: str, subject: Subject) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, rest.split(",")))
    except ValueError as error:
        raise SettingsError(f"{shown}: give numbers with commas between them.") from error
    if len(numbers) != len(subject.photos):
        raise SettingsError(f'{shown}: "{subject.name}" has {len(subject.photos)} photo(s); give a number for each.')
    return numbers


def _dealt(given: Iterable[str], flag: str, example: str, names: Sequence[str]) -> list[str | None]:
    """What a flag says of each subject; None where it says nothing.

    Given once for a name it counts for every subject of that name; given as often as there are such, each in turn.
    """
    by_name: dict[str, list[str]] = {}
    for text in given:
        name, rest = _split(text, flag, example)
        if name not in names:
            raise SettingsError(f"{flag} {text} names no subject: there is {', '.join(names) or 'none'}.")
        by_name.setdefault(name, []).append(rest)
    for name, rests in by_name.items():
        if len(rests) not in (1, names.count(name)):
            raise SettingsError(
                f'{flag} is given {len(rests)} times for "{name}": give it once, or once for each subject of that name.'
            )
    turns = [names[:place].count(name) for place, name in enumerate(names)]
    said = ((by_name.get(name), turn) for name, turn in zip(names, turns, strict=True))
    return [None if rests is None else rests[min(turn, len(rests) - 1)] for rests, turn in said]


def read_strengths(strengths: Iterable[str], names: Sequence[str]) -> list[float]:
    """``cat=0.8`` per subject; 1 where none is given."""
    weights = []
    for name, number in zip(names, _dealt(strengths, "--strength", "cat=0.8", names), strict=True):
        try:
            weights.append(1.0 if number is None else float(number))
        except ValueError as error:
            raise SettingsError(f'--strength {name}={number}: "{number}" is not a number.') from error
    return weights


def read_regions(regions: Iterable[str], names: Sequence[str]) -> list[Box | Image.Image | None]:
    """``cat=0,0,0.5,1`` or ``cat=mask.png`` per subject; None where none is given."""
    given = _dealt(regions, "--region", "cat=0,0,0.5,1", names)
    return [None if region is None else _region(region) for region in given]


def _region(region: str) -> Box | Image.Image:
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Box

    try:
        return Box(*map(float, region.split(",")))
    except (ValueError, TypeError):
        return load_photo(region)


def _split(text: str, flag: str, example: str) -> tuple[str, str]:
    name, sign, rest = text.partition("=")
    if not sign or not name.strip() or not rest.strip():
        raise SettingsError(f'{flag} {text} cannot be read: write it as in "{flag} {example}".')
    return name.strip(), rest.strip()


def _photo_files(name: str, paths: str) -> list[Path]:
    """The files of ``a.png,b.png``; a folder stands for the pictures in it."""
    files: list[Path] = []
    for path in map(Path, filter(None, map(str.strip, paths.split(",")))):
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise PhotoError(f'The folder "{path}" for the subject "{name}" holds no picture.')
        files += inside
    return files


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f'The folder "{folder}" cannot be made: {error.strerror}.') from error


def _with_progress(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps under a bar for all pictures."""
    from tqdm import tqdm

    with tqdm(desc="picture 1", unit="step") as bar:
        for step in steps:
            bar.total = step.steps * step.image_count
            bar.set_description(f"picture {step.image_index + 1} of {step.image_count}", refresh=False)
            bar.update()
            yield step


def _write_settings(path: Path, subjects: Sequence[str], pictures: Sequence[Mapping[str, object]]) -> None:
    from mmdiff_core.atomic_files import write_text

    text = json.dumps({"subjects": list(subjects), "pictures": list(pictures)}, indent=2, ensure_ascii=False)
    write_text(path, text + "\n")
