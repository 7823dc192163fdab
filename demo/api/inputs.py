"""What the endpoints are given, read into the form of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

import gradio as gr

from demo.form.form import USUAL_IMAGE_STRENGTH, Settings, StartPicture, SubjectForm
from demo.form.uploads import uploaded
from demo.form.value_types import check_types, is_number, is_text
from demo.server.error_messages import user_facing_errors
from demo.server.sessions import claim
from mmdiff_core.encoders.name_matching import without_blank_edges
from mmdiff_core.errors import SettingsError
from mmdiff_core.types import ALL_COMPONENTS, Components, FaceChoice

PARTS = tuple(asdict(ALL_COMPONENTS))
OPTIONAL_KEYS = ("strength", "faces", "mix")  # of a subject


class SubjectInput(TypedDict):
    """A subject as a program sends it; ``photos`` are uploaded files, ``handle_file(path)`` in Python.

    ``faces`` and ``mix`` are for adapters that read faces: which face of each photo, from the left (0: the largest),
    and the photos' weights.
    """

    name: str
    photos: list[gr.FileData]
    strength: NotRequired[float]
    faces: NotRequired[list[int]]
    mix: NotRequired[list[float]]


def read_settings(**given: Any) -> Settings:
    """Check the types of an endpoint's parameters and gather them."""
    with user_facing_errors():
        check_types(given)
        negative_prompt, parts = given["negative_prompt"].strip(), _parts(given["without"])
        others = {name: value for name, value in given.items() if name not in ("prompt", "without", "negative_prompt")}
        return Settings(**others, negative_prompt=negative_prompt, parts=parts)


def read_start(image: Any, strength: float | None) -> StartPicture | None:
    """Read the picture to start from that an endpoint was given, and claim it; None where there is none."""
    with user_facing_errors():
        check_types({"image_strength": strength})
        if image is None and strength is not None:
            raise SettingsError('"image_strength" is of a picture to start from: give "image", too, or leave it out.')
        if image is None:
            return None
        path = uploaded(image, "The picture to start from")
        claim(path)
        return StartPicture(path, USUAL_IMAGE_STRENGTH if strength is None else strength)


def _parts(without: Sequence[str] | None) -> Components:
    unknown = [part for part in without or () if part not in PARTS]
    if unknown:
        raise SettingsError(f'There is no part "{unknown[0]}" to switch off: choose from {", ".join(PARTS)}.')
    return Components(**{part: part not in (without or ()) for part in PARTS})


def _choices(given: Mapping[str, Any]) -> tuple[FaceChoice, ...]:
    """Return a choice per photo, or none where the program chooses no faces."""
    count = len(given["photos"])
    if "faces" not in given and "mix" not in given:
        return ()
    faces, mix = given.get("faces", [0] * count), given.get("mix", [1.0] * count)
    if not len(faces) == len(mix) == count:
        raise SettingsError(f'"{given["name"]}" has {count} photo(s): give as many numbers in "faces" and in "mix".')
    return tuple(FaceChoice(face or None, weight) for face, weight in zip(faces, mix, strict=True))


def subject_forms(subjects: Any) -> tuple[SubjectForm, ...]:
    """Check the layout of the subjects that a program sent, and read them."""
    if not isinstance(subjects, list) or not all(map(_well_formed, subjects)):
        raise SettingsError(
            'The subjects must be a list of {"name": text, "photos": [uploaded files], "strength": number, '
            '"faces": [numbers], "mix": [numbers]}; strength, faces and mix may be left out.'
        )
    return tuple(
        SubjectForm(
            slot=slot,
            name=without_blank_edges(given["name"]),
            photos=tuple(uploaded(photo, f'A photo of "{given["name"]}"') for photo in given["photos"]),
            strength=given.get("strength", 1.0),
            faces=_choices(given),
        )
        for slot, given in enumerate(subjects)
    )


def _well_formed(given: Any) -> bool:
    if not isinstance(given, dict):
        return False
    return (
        is_text(given.get("name"))
        and isinstance(given.get("photos"), list)
        and is_number(given.get("strength", 1.0))
        and all(isinstance(x, list) and all(map(is_number, x)) for x in (given.get("faces", []), given.get("mix", [])))
    )
