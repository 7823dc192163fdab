"""A saved picture that is opened again: which of its settings go back into the fields, and what to say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdiff_core.output.foreign_settings import ForeignSettings
from mmdiff_core.weights.model_source import shown_name

MAX_SHOWN = 40  # characters of another program's value

RESTORED_SETTINGS = (
    "prompt", "negative_prompt", "seed", "steps", "guidance", "start_step", "width", "height", "parts",
    "sampler", "binding", "clip_skip", "guidance_rescale", "balance_photos",
)  # fmt: skip


def restorable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the settings inside a picture goes back into the fields.

    Photos are only counted there; a path in a forged picture is left out.
    """
    record = {name: settings[name] for name in RESTORED_SETTINGS if name in settings}
    subjects = settings.get("subjects")
    if isinstance(subjects, Sequence) and all(isinstance(subject, Mapping) for subject in subjects):
        record["subjects"] = [
            {"name": subject.get("name", ""), "strength": subject.get("strength"), "photos": 0} for subject in subjects
        ]
    return record


def foreign_message(settings: ForeignSettings, refused: Sequence[str]) -> str:
    """Return a message about settings of another program that went into the fields.

    Args:
        settings: those inside the picture.
        refused: what no field can hold.
    """
    names = {"prompt": "prompt", "negative_prompt": "negative prompt", "seed": "seed", "steps": "steps"}
    names |= {"guidance": "guidance"}
    rest = [*refused, *(f"{name} {value[:MAX_SHOWN]}" for name, value in settings.rest.items())]
    return " ".join(
        [
            f"Taken over from another program's picture: {', '.join(names[name] for name in settings.known)}.",
            *([f"Not taken over: {', '.join(rest)}."] if rest else []),
            "Its subjects need photos and names here.",
        ]
    )


def restore_message(settings: Mapping[str, Any], refused: Sequence[str], model: str) -> str:
    """Return a message about settings that went back into the fields.

    Args:
        settings: those inside the picture.
        refused: what no field can hold.
        model: the loaded one.
    """
    subjects = [subject for subject in settings.get("subjects") or () if isinstance(subject, Mapping)]
    without_field = {"region": "regions", "faces": "chosen faces"}
    missing = [*refused, *(what for key, what in without_field.items() if any(key in subject for subject in subjects))]
    made_by, loaded = shown_name(str(settings.get("model", model))), model
    sentences = [
        "Prompt, names, strengths and settings are as they were"
        + (f", except for what the fields here cannot hold: {', '.join(missing)}." if missing else "."),
        f"The picture is of another model, “{made_by}”; here “{loaded}” is loaded." if made_by != loaded else "",
        "Photos are not inside a picture: the cards keep those they have; drop the others again."
        if subjects
        else "It was made without subjects: the cards stay as they are.",
    ]
    return " ".join(filter(None, sentences))
