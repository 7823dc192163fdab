"""The code and the command that make a picture again, exactly: photos stand in them by their file names."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmdiff_core.types import ALL_PARTS

BUILT_IN = "toybox"
NUMBERS = ("steps", "guidance", "start_step", "width", "height")
ADAPTER = "adapter.safetensors"  # settings do not tell the file: a placeholder, as the photos are


def photo_names(subjects: Sequence[tuple[str, Sequence[str]]]) -> tuple[tuple[str, ...], ...]:
    """File names per subject of photos given as (subject's name, paths).

    Names that occur twice, as those of pasted or rendered photos do, become the subject's name and a number.
    """
    names = [[Path(path).name for path in paths] for _, paths in subjects]
    often = Counter(name for own in names for name in own)
    return tuple(
        tuple(
            name if often[name] == 1 else f"{_plain(subject)}-{number}{Path(name).suffix}"
            for number, name in enumerate(own, start=1)
        )
        for (subject, _), own in zip(subjects, names, strict=True)
    )


def python_source(settings: Mapping[str, Any], photos: Sequence[Sequence[str]]) -> str:
    """A program of a few lines.

    Args:
        settings: a picture's settings.
        photos: file names per subject.
    """
    subjects = "".join(map(_subject_line, settings["subjects"], photos))
    parts = _parts_off(settings)
    sampler = settings.get("sampler")
    return (
        "# The photos are not inside a picture: put their files beside this program.\n"
        "from mmdiff_core.encoders.photo import load_photo\n"
        "from mmdiff_core.pipeline import Personalizer\n"
        f"from mmdiff_core.types import {_imported(settings, parts)}\n\n\n"
        "def photos(*files):\n"
        "    return tuple(map(load_photo, files))\n\n\n"
        f"personalizer = Personalizer.load({_model(settings)})\n"
        "request = GenerateRequest(\n"
        f"    prompt={settings['prompt']!r},\n"
        f"    subjects=(\n{subjects}    ),\n"
        f"    negative_prompt={settings['negative_prompt']!r},\n"
        f"    seeds=({settings['seed']},),\n"
        + "".join(f"    {name}={settings[name]!r},\n" for name in NUMBERS)
        + (f"    binding={settings['binding']!r},\n" if settings.get("binding") else "")
        + (f"    sampler={sampler!r},\n" if sampler else "")
        + (f"    parts=Parts({', '.join(f'{part}=False' for part in parts)}),\n" if parts else "")
        + ")\n"
        "*_, last = personalizer.generate(request)\n"
        f'last.picture.image.save("mm-diff-{settings["seed"]}.png")\n'
    )


def shell_command(settings: Mapping[str, Any], photos: Sequence[Sequence[str]]) -> str:
    """One command."""
    words: list[tuple[str, object]] = [("--prompt", settings["prompt"])]
    for subject, names in zip(settings["subjects"], photos, strict=True):
        words.append(("--subject", f"{subject['name']}={','.join(names)}"))
        if subject["strength"] != 1:
            words.append(("--strength", f"{subject['name']}={subject['strength']}"))
        words += _face_flags(subject)
    if settings["negative_prompt"]:
        words.append(("--negative-prompt", settings["negative_prompt"]))
    words += [("--" + name.replace("_", "-"), settings[name]) for name in ("seed", *NUMBERS)]
    if settings.get("binding"):
        words.append(("--binding", settings["binding"]))
    if settings.get("sampler"):
        words.append(("--sampler", settings["sampler"]))
    if settings["model"] != BUILT_IN:
        words += [("--model", settings["model"]), ("--adapter", ADAPTER)]
    lines = ["python -m mmdiff_core generate", *(f"{flag} {shlex.quote(str(value))}" for flag, value in words)]
    if parts := _parts_off(settings):
        lines.append(f"--without {' '.join(parts)}")
    return " \\\n  ".join(lines)


def _imported(settings: Mapping[str, Any], parts: Sequence[str]) -> str:
    faces = any(subject.get("faces") for subject in settings["subjects"])
    return ", ".join([*(["FaceChoice"] if faces else []), "GenerateRequest", *(["Parts"] if parts else []), "Subject"])


def _plain(name: str) -> str:
    """As a part of a file name."""
    return re.sub(r"[^\w-]+", "-", name).strip("-") or "photo"


def _subject_line(subject: Mapping[str, Any], names: Sequence[str]) -> str:
    files = ", ".join(map(repr, names))
    chosen = "".join(f"FaceChoice({face}, {weight}), " for face, weight in subject.get("faces", ()))
    choices = f", choices=({chosen.strip()})" if chosen else ""
    return f"        Subject({subject['name']!r}, photos({files}), strength={subject['strength']}{choices}),\n"


def _face_flags(subject: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The flags for a subject's chosen faces, and for their weights where they differ."""
    chosen, name = subject.get("faces", ()), subject["name"]
    if not chosen:
        return []
    flags: list[tuple[str, object]] = [("--face", f"{name}={','.join(str(face) for face, _ in chosen)}")]
    if any(weight != 1 for _, weight in chosen):
        flags.append(("--mix", f"{name}={','.join(str(weight) for _, weight in chosen)}"))
    return flags


def _model(settings: Mapping[str, Any]) -> str:
    return "" if settings["model"] == BUILT_IN else f"{settings['model']!r}, {ADAPTER!r}"


def _parts_off(settings: Mapping[str, Any]) -> list[str]:
    given = settings.get("parts", {})
    return [part for part, on in asdict(ALL_PARTS).items() if on and not given.get(part, True)]
