"""The flags that describe subjects: their photos, and by name what else is said of each."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdiff_core.errors import PhotoError, SettingsError

if TYPE_CHECKING:
    from PIL import Image

    from mmdiff_core.types import Box, FaceChoice, Subject


def add_subject_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags; importing torch waits until they are read."""

    def add(flag: str, value: str, text: str) -> None:
        parser.add_argument(flag, action="append", default=[], metavar=f"NAME={value}", help=text)

    add("--subject", "PHOTO[,PHOTO...]", "a subject's photos, files or a folder; repeat the flag for every subject")
    add(
        "--scale", "NUMBER", "weight of a subject's photos (default: 1); if several subjects have that name, give it "
        "once for all, or once for each in their order",
    )  # fmt: skip
    add(
        "--region", "REGION", "where a subject may be: left,top,right,bottom in fractions of the image, or the file of "
        "a mask that is white there",
    )  # fmt: skip
    add(
        "--face", "N[,N...]", "for adapters that read faces: which face of each photo, counted from the left (default: "
        "0, the largest)",
    )  # fmt: skip
    add(
        "--mix", "W[,W...]", "for adapters that read faces: the weight of each photo's face, to mix several people "
        "into one subject (default: 1 each)",
    )  # fmt: skip


def subjects_from_flags(args: argparse.Namespace) -> tuple[Subject, ...]:
    """Return the subjects that the flags describe, their photos loaded.

    Raises:
        SettingsError: a flag cannot be read, names no subject, or has not one number for each photo.
        PhotoError: a photo cannot be used.
    """
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Subject

    pairs = [_split(text, "--subject", "cat=a.png,b.png") for text in args.subject]
    names = [name for name, _ in pairs]
    photos = [tuple(map(load_photo, _photo_files(*pair))) for pair in pairs]
    counts = list(map(len, photos))
    described = zip(
        names,
        photos,
        map(_read_scale, names, _by_subject(args.scale, "--scale", "cat=0.8", names)),
        map(_read_region, _by_subject(args.region, "--region", "cat=0,0,0.5,1", names)),
        _read_choices(args.face, args.mix, names, counts),
        strict=True,
    )
    return tuple(
        Subject(name, shown, scale, region=region, choices=choices) for name, shown, scale, region, choices in described
    )


def _by_subject(given: Iterable[str], flag: str, example: str, names: Sequence[str]) -> list[str | None]:
    """Return what a flag says of each subject; None where it says nothing.

    Given once for a name it counts for every subject of that name; given as often as there are such, each in turn.
    """
    values: dict[str, list[str]] = {}
    for text in given:
        name, value = _split(text, flag, example)
        if name not in names:
            raise SettingsError(f"{flag} {text} names no subject: there is {', '.join(names) or 'none'}.")
        values.setdefault(name, []).append(value)
    for name, of_name in values.items():
        if len(of_name) not in (1, names.count(name)):
            raise SettingsError(
                f'{flag} is given {len(of_name)} times for "{name}": give it once, or once for each subject of that '
                "name."
            )
    turns = [names[:place].count(name) for place, name in enumerate(names)]
    found = ((values.get(name), turn) for name, turn in zip(names, turns, strict=True))
    return [None if of_name is None else of_name[min(turn, len(of_name) - 1)] for of_name, turn in found]


def _split(text: str, flag: str, example: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise SettingsError(f'{flag} {text} cannot be read: write it as in "{flag} {example}".')
    return name.strip(), value.strip()


def _photo_files(name: str, paths: str) -> list[Path]:
    """Return the files of ``a.png,b.png``; a folder stands for the images in it."""
    from mmdiff_core.encoders.photo_formats import PHOTO_SUFFIXES

    files: list[Path] = []
    for path in map(Path, _split_paths(paths)):
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise PhotoError(f'The folder "{path}" for the subject "{name}" contains no image.')
        files += inside
    return files


def _split_paths(paths: str) -> list[str]:
    """Split at commas, except those in the name of a file or folder that exists; the longest name wins."""
    pieces, found = paths.split(","), []
    while pieces:
        joined = (",".join(pieces[:count]).strip() for count in range(len(pieces), 1, -1))
        path = next((path for path in joined if Path(path).exists()), pieces[0].strip())
        pieces = pieces[path.count(",") + 1 :]
        found.append(path)
    return [path for path in found if path]


def _read_scale(name: str, number: str | None) -> float:
    try:
        return 1.0 if number is None else float(number)
    except ValueError as error:
        raise SettingsError(f'--scale {name}={number}: "{number}" is not a number.') from error


def _read_region(region: str | None) -> Box | Image.Image | None:
    """Return ``0,0,0.5,1`` as a box, anything else as the mask in the file of that name."""
    from mmdiff_core.encoders.photo import load_photo
    from mmdiff_core.types import Box

    if region is None:
        return None
    try:
        return Box(*map(float, region.split(",")))
    except (ValueError, TypeError):
        return load_photo(region)


def _read_choices(
    faces: Iterable[str], mixes: Iterable[str], names: Sequence[str], counts: Sequence[int]
) -> list[tuple[FaceChoice, ...]]:
    """Return each subject's choices, one for each of its ``counts`` photos; none where neither flag is given."""
    chosen = map(_read_faces, names, _by_subject(faces, "--face", "man=1,2", names), counts)
    weights = (
        None if text is None else _read_numbers("--mix", name, text, count)
        for name, text, count in zip(names, _by_subject(mixes, "--mix", "man=0.7,0.3", names), counts, strict=True)
    )
    return list(map(_choices, chosen, weights, counts))


def _choices(faces: Sequence[int | None] | None, weights: Sequence[float] | None, count: int) -> tuple[FaceChoice, ...]:
    from mmdiff_core.types import FaceChoice

    if faces is None and weights is None:
        return ()
    return tuple(map(FaceChoice, faces or (None,) * count, weights or (1.0,) * count))


def _read_faces(name: str, text: str | None, count: int) -> list[int | None] | None:
    if text is None:
        return None
    numbers = _read_numbers("--face", name, text, count)
    if not all(number >= 0 and number.is_integer() for number in numbers):
        raise SettingsError(f'--face of "{name}" must be whole numbers: 1 is the face on the left, 0 the largest.')
    return [int(number) or None for number in numbers]


def _read_numbers(flag: str, name: str, text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError as error:
        raise SettingsError(f"{flag} {name}={text}: give numbers with commas between them.") from error
    if len(numbers) != count:
        raise SettingsError(f'{flag} {name}={text}: "{name}" has {count} photo(s); give a number for each.')
    return numbers
