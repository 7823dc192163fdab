"""The program and the command that make a picture again exactly; they name photos by their files."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.types import ALL_COMPONENTS
from mmdiff_core.weights.model_source import ModelSource

NUMBERS = ("steps", "guidance", "start_step", "width", "height")
ADVANCED = ("clip_skip", "guidance_rescale", "balance_photos")  # that a picture's settings hold where they are on
_IS_THERE = 'all(map(find_spec, ("mmdiff_core", "torch", "diffusers")))'
_PROJECT = "/path/to/the/project"
_NEEDS = "This needs the project MM-Diff Studio with its requirements installed; run it in this folder:"
_MISSING = (
    "The project MM-Diff Studio is needed, with its requirements installed, and Python does not find it here. "
    f"Say where it is: PYTHONPATH={_PROJECT}"
)
FOLDER = "photos"  # keeps them apart from a zip's other files


def photo_names(photos: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return file names for the paths of each subject's photos: no two alike, and without commas."""
    numbers = count(1)
    return tuple(tuple(_file_name(next(numbers), Path(path)) for path in own) for own in photos)


def start_name(path: str) -> str:
    """Return the file name of a picture to start from; empty where there is none."""
    return _file_name("start", Path(path)) if path else ""


def python_source(
    settings: Mapping[str, Any],
    photos: Sequence[Sequence[str]],
    origin: ModelSource,
    start: str = "",
    tokens: TokenRecording | None = None,
) -> str:
    """Return a program that makes a picture again.

    Args:
        settings: a picture's settings.
        photos: file names per subject.
        origin: of the model that made the picture.
        start: file name of the picture that it starts from; empty where there is none.
        tokens: what was recorded of an inspected prompt, whose maps are written, too; None: subjects were shown.
    """
    subjects = "".join(map(_subject_line, settings["subjects"], photos))
    parts = _parts_off(settings)
    sampler = settings.get("sampler")
    import_torch = "" if origin.dtype == ModelSource.dtype else "import torch\n\n"
    files = "# The photos are not inside a picture: put them beside this program under these names.\n"
    return (
        (files if subjects or start else "")
        + import_torch
        + ("from mmdiff_core.encoders.photo import load_photo\n" if subjects or start else "")
        + ("from mmdiff_core.inspection.token_collector import TokenRecording\n" if tokens is not None else "")
        + "from mmdiff_core.pipeline import Personalizer\n"
        f"from mmdiff_core.types import {_imported(settings, parts)}\n\n\n"
        + ("def photos(*files):\n    return tuple(map(load_photo, files))\n\n\n" if subjects else "")
        + f"personalizer = Personalizer.load({_loading(origin)})\n"
        "request = GenerateRequest(\n"
        f"    prompt={settings['prompt']!r},\n"
        + (f"    subjects=(\n{subjects}    ),\n" if subjects else "")
        + f"    negative_prompt={settings['negative_prompt']!r},\n"
        f"    seeds=({settings['seed']},),\n"
        + "".join(f"    {name}={settings[name]!r},\n" for name in NUMBERS)
        + (f"    word_gating={settings['binding']!r},\n" if settings.get("binding") else "")
        + (f"    scheduler={sampler!r},\n" if sampler else "")
        + "".join(f"    {name}={settings[name]!r},\n" for name in ADVANCED if settings.get(name))
        + (f"    image=load_photo({start!r}),\n    image_strength={settings['image_strength']!r},\n" if start else "")
        + (f"    components=Components({', '.join(f'{part}=False' for part in parts)}),\n" if parts else "")
        + ")\n"
        + _made(settings["seed"], tokens)
    )


def packed_program(source: str) -> str:
    """Return a program for a folder of its own: its head says what it needs, and without that it ends in a sentence."""
    return (
        f"# Makes the picture again. {_NEEDS}\n"
        f"#     PYTHONPATH={_PROJECT} python reproduce.py\n"
        "from importlib.util import find_spec\n\n"
        f"if not {_IS_THERE}:\n"
        f'    raise SystemExit("{_MISSING} python reproduce.py")\n\n{source}'
    )


def packed_command(command: str) -> str:
    """Return a shell script for a folder of its own; otherwise as :func:`packed_program`."""
    return (
        f"#!/bin/sh\n# Makes the picture again. {_NEEDS}\n"
        f"#     PYTHONPATH={_PROJECT} sh reproduce.sh\n"
        'cd "$(dirname "$0")" || exit 1\n'
        f"if ! python -c 'from importlib.util import find_spec; raise SystemExit(not {_IS_THERE})'; then\n"
        f'    echo "{_MISSING} sh reproduce.sh" >&2\n    exit 1\nfi\n{command}\n'
    )


def _made(seed: object, tokens: TokenRecording | None) -> str:
    """Return the lines that make the picture, and write the maps of an inspected prompt."""
    if tokens is None:
        return f'*_, last = personalizer.generate(request)\nlast.finished.image.save("mm-diff-{seed}.png")\n'
    return (
        f"recording = TokenRecording(concepts={tuple(tokens.concepts)!r}, per_head={tokens.per_head})\n"
        "*_, last = personalizer.inspect(request, recording)\n"
        f'last.step.finished.image.save("mm-diff-{seed}.png")\n'
        f'last.tokens.to_npz("mm-diff-{seed}-maps.npz")\n'
    )


def shell_command(
    settings: Mapping[str, Any],
    photos: Sequence[Sequence[str]],
    origin: ModelSource,
    start: str = "",
    tokens: TokenRecording | None = None,
) -> str:
    """Return a command that makes a picture again; the arguments are those of :func:`python_source`."""
    words: list[tuple[str, object]] = [("--prompt", settings["prompt"]), *_subject_flags(settings["subjects"], photos)]
    if tokens is not None and tokens.concepts:
        words.append(("--concepts", ",".join(tokens.concepts)))
    if settings["negative_prompt"]:
        words.append(("--negative-prompt", settings["negative_prompt"]))
    words += [("--" + name.replace("_", "-"), settings[name]) for name in ("seed", *NUMBERS)]
    if settings.get("binding") and tokens is None:
        words.append(("--word-gating", settings["binding"]))
    if settings.get("sampler"):
        words.append(("--scheduler", settings["sampler"]))
    if start:
        words += [("--image", start), ("--image-strength", settings["image_strength"])]
    words += _model_flags(origin)
    words += [("--" + name.replace("_", "-"), settings[name]) for name in ADVANCED[:2] if settings.get(name)]
    command = "generate" if tokens is None else "attention"
    lines = [f"python -m mmdiff_core {command}", *(_written(flag, str(value)) for flag, value in words)]
    if origin.text_encoder_2_lora:
        lines.append("--text-encoder-2-lora")
    if settings.get("balance_photos") and tokens is None:
        lines.append("--balance-photos")
    if tokens is not None and tokens.per_head:
        lines.append("--per-head")
    if (parts := _parts_off(settings)) or tokens is not None:  # "attention" switches parts off by itself
        lines.append(" ".join(["--without", *parts]))
    return " \\\n  ".join(lines)


def _written(flag: str, value: str) -> str:
    """Return a flag as a shell reads it; a value that looks like a flag is tied to its own."""
    return f"{flag}{'=' if value.startswith('-') else ' '}{shlex.quote(value)}"


def _imported(settings: Mapping[str, Any], parts: Sequence[str]) -> str:
    faces = any(subject.get("faces") for subject in settings["subjects"])
    named = {"Components": parts, "FaceChoice": faces, "GenerateRequest": True, "Subject": settings["subjects"]}
    return ", ".join(name for name, needed in named.items() if needed)


def _file_name(number: int | str, path: Path) -> str:
    """Return the name of a file in the folder that still shows the photo's own name."""
    stem, suffix = (re.sub(r"[^\w-]+", "-", part).strip("-") for part in (path.stem, path.suffix))
    return f"{FOLDER}/{number}-{stem or 'photo'}.{suffix or 'png'}"


def _subject_line(subject: Mapping[str, Any], names: Sequence[str]) -> str:
    files = ", ".join(map(repr, names))
    chosen = "".join(f"FaceChoice({face}, {weight}), " for face, weight in subject.get("faces", ()))
    choices = f", choices=({chosen.strip()})" if chosen else ""
    return f"        Subject({subject['name']!r}, photos({files}), scale={subject['strength']}{choices}),\n"


def _subject_flags(
    subjects: Sequence[Mapping[str, Any]], photos: Sequence[Sequence[str]]
) -> Iterator[tuple[str, object]]:
    counts = Counter(subject["name"] for subject in subjects)
    for subject, names in zip(subjects, photos, strict=True):
        yield "--subject", f"{subject['name']}={','.join(names)}"
        if subject["strength"] != 1 or counts[subject["name"]] > 1:  # of one name, each needs its own
            yield "--scale", f"{subject['name']}={subject['strength']}"
        yield from _face_flags(subject)


def _face_flags(subject: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return the flags for a subject's chosen faces, and for their weights where they differ."""
    chosen, name = subject.get("faces", ()), subject["name"]
    if not chosen:
        return []
    flags: list[tuple[str, object]] = [("--face", f"{name}={','.join(str(face) for face, _ in chosen)}")]
    if any(weight != 1 for _, weight in chosen):
        flags.append(("--mix", f"{name}={','.join(str(weight) for _, weight in chosen)}"))
    return flags


def _loading(origin: ModelSource) -> str:
    """Return the arguments of ``Personalizer.load`` that differ from its defaults."""
    usual = asdict(ModelSource())
    given = {name: value for name, value in asdict(origin).items() if value != usual[name] and name != "complete"}
    shown = {name: f"torch.{value}" if name == "dtype" else repr(value) for name, value in given.items()}
    return ", ".join(f"{name}={value}" for name, value in shown.items())


def _model_flags(origin: ModelSource) -> list[tuple[str, object]]:
    """Return the flags that load the same model on the same kind of device, whatever the machine would choose."""
    flags: list[tuple[str, object]] = []
    if origin.model != ModelSource.model:
        flags.append(("--model" if origin.complete else "--base", origin.model))
    for name in ("adapter", "image_encoder"):
        if value := getattr(origin, name):
            flags.append(("--" + name.replace("_", "-"), value))
    flags.append(("--device", origin.device))
    return flags if origin.complete else [*flags, ("--dtype", origin.dtype), ("--offload", origin.offload)]


def _parts_off(settings: Mapping[str, Any]) -> list[str]:
    given = settings.get("parts", {})
    return [part for part, on in asdict(ALL_COMPONENTS).items() if on and not given.get(part, True)]
