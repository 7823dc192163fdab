"""A saved picture that is opened again: which of its settings go back into the fields, and what to say about it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from demo.form.share_link import toy_photos
from demo.form.value_types import is_number, without_controls
from demo.server.limits import MAX_SUBJECTS
from demo.viewer.map_encoding import read_saved_maps
from demo.viewer.reproduce import NUMBERS
from demo.web.cached_files import (
    COMPARISON_CHUNK,
    DRAWN_CHUNKS,
    HEATMAP_CHUNK,
    MAPS_CHUNK,
    TOYS_CHUNK,
    FileRecord,
    cached_at,
    read_previews,
)
from mmdiff_core.errors import PhotoError
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.output.export import read_settings
from mmdiff_core.output.foreign_settings import ForeignSettings, read_foreign_settings
from mmdiff_core.weights.model_source import shown_name

COMPARED = "It is a comparison: what it compares is in the Compare tab."
PAINTED = "Its heatmap is painted in: the maps themselves come with a picture that was saved without it."
AVERAGED = "Its maps are means over all steps and layers."
NO_START = "It starts from a picture that is not inside: add that again."
MAX_SHOWN = 40  # characters of another program's value

RESTORED_SETTINGS = (
    "prompt", "negative_prompt", "seed", "steps", "guidance", "start_step", "width", "height", "parts",
    "sampler", "binding", "clip_skip", "guidance_rescale", "balance_photos", "image_strength", "concepts",
)  # fmt: skip
MAX_FILE = 40 * 2**20  # bytes of one file of a zip; what it unpacks to is not known before
PREVIEWS = "previews.png"  # of a zip
MAX_MAPS = 256 * 2**20  # bytes
MAX_PHOTOS = 10 * MAX_SUBJECTS
MAX_SETTINGS = 2**20  # bytes
_PICTURE = re.compile(r"mm-diff-\d+\.png")
_MAPS = re.compile(r"mm-diff-\d+_maps\.npz")
_START = re.compile(r"photos/start-[^/]+")
_PHOTO = re.compile(r"photos/(\d+)-[^/]+")


@dataclass(frozen=True)
class SavedPicture:
    """What was opened: the settings, the picture as a file of the page, and each subject's photos, where they came.

    ``foreign`` are the settings as another program wrote them; ``start`` is the picture that it starts from; ``maps``
    are those that came with it. ``alone``: it is a picture without a zip, which brings means of the maps, and toys, but
    no photos; ``drawn``: a browser drew it anew, larger, with its heatmap, which is ``painted`` in, or beside others,
    as ``comparison`` says.
    """

    settings: Mapping[str, Any]
    file: FileRecord | None
    photos: tuple[tuple[str, ...], ...] = ()
    foreign: ForeignSettings | None = None
    start: str = ""
    maps: AttentionMaps | TokenMaps | None = None
    alone: bool = False
    drawn: bool = False
    painted: bool = False
    comparison: Mapping[str, Any] | None = None
    previews: tuple[Image.Image, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything is there that the picture was made from, so that it can be made again."""
        if self.foreign or self.drawn or self._lacks_start or not are_settings(self.settings):
            return False
        subjects = self.settings["subjects"]
        return [len(photos) for photos in self.photos or ((),) * len(subjects)] == [each["photos"] for each in subjects]

    @property
    def record(self) -> dict[str, Any]:
        """What goes into the fields."""
        if self.foreign:
            return {name: _clean(value) for name, value in self.foreign.known.items()}
        record = restorable(self.settings)
        for subject, photos in zip(record.get("subjects", ()), self.photos, strict=False):
            if photos or not self.alone:  # else the card keeps its own
                subject["photos"] = list(photos)
        return record | {"start": [self.start] if self.start else [], "lacks_start": self._lacks_start}

    @property
    def _lacks_start(self) -> bool:
        return "image_strength" in self.settings and not self.start

    def message(self, refused: Sequence[str], model: str) -> str:
        """Return what to say about it; the arguments are those of :func:`restore_message`."""
        if self.foreign:
            return foreign_message(self.foreign, refused)
        said = restore_message(self.settings, refused, model, bool(self.photos) and all(self.photos))
        facts = {COMPARED: self.comparison is not None, PAINTED: self.painted}
        facts[AVERAGED] = self.alone and self.maps is not None
        more = [sentence for sentence, holds in (facts | {NO_START: self._lacks_start}).items() if holds]
        return " ".join([said, *more])


def open_saved(path: str) -> SavedPicture:
    """Open a picture that was saved here or by another program, or a zip of everything about one.

    Raises:
        PhotoError: it is none of them.
    """
    if zipfile.is_zipfile(path):
        return _open_zip(path)
    try:
        settings, foreign = read_settings(path), None
    except PhotoError:
        foreign = read_foreign_settings(path)
        if not foreign:
            raise
        settings = dict(foreign.known)
    file = _record(path, Path(path).name)
    if foreign:
        return SavedPicture(settings, file, foreign=foreign, alone=True)
    with Image.open(path) as image:
        chunks = {str(name): text for name, text in image.info.items() if isinstance(text, str)}
    painted = HEATMAP_CHUNK in chunks
    maps = None if painted or COMPARISON_CHUNK in chunks else _maps_inside(chunks)  # which the picture shows
    drawn = any(name in chunks for name in DRAWN_CHUNKS)
    toys, comparison = _toys_inside(chunks, settings), _json_inside(chunks, COMPARISON_CHUNK)
    asked = comparison if isinstance(comparison, dict) else None
    return SavedPicture(settings, file, toys, maps=maps, alone=True, drawn=drawn, painted=painted, comparison=asked)


def _json_inside(chunks: Mapping[str, str], name: str) -> object:
    try:
        return json.loads(chunks.get(name, "null"))
    except ValueError:
        return None


def _open_zip(path: str) -> SavedPicture:
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as packed:
            settings = json.loads(_read(packed, "settings.json", MAX_SETTINGS))
            if not isinstance(settings, dict):
                raise ValueError("settings.json is a record")
            pictures = [entry for entry in packed.namelist() if _PICTURE.fullmatch(entry)]
            file = _record(cached_at(_read(packed, pictures[0]), pictures[0]), pictures[0]) if pictures else None
            starts = [entry for entry in packed.namelist() if _START.fullmatch(entry)]
            written = [entry for entry in packed.namelist() if _MAPS.fullmatch(entry)]
            maps = read_saved_maps(_read(packed, written[0], MAX_MAPS)) if written else None
            previews = read_previews(_read(packed, PREVIEWS)) if PREVIEWS in packed.namelist() else ()
            start = cached_at(_read(packed, starts[0]), Path(starts[0]).name) if starts else ""
            photos = [cached_at(_read(packed, entry), Path(entry).name) for entry in _photo_names(packed)]
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, NotImplementedError) as error:
        raise PhotoError(
            f'"{name}" is not a zip that this page can open: choose one that "Save everything (zip)" wrote.'
        ) from error
    return SavedPicture(settings, file, tuple(_shared_out(photos, settings)), start=start, maps=maps, previews=previews)


def _maps_inside(chunks: Mapping[str, str]) -> AttentionMaps | TokenMaps | None:
    """Return the maps inside of a picture that was saved on the page."""
    try:
        return read_saved_maps(base64.b64decode(chunks.get(MAPS_CHUNK, ""), validate=True))
    except binascii.Error:
        return None


def _toys_inside(chunks: Mapping[str, str], settings: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Return the photos of each subject that is a toy, none for the others."""
    toys = _json_inside(chunks, TOYS_CHUNK)
    subjects = settings.get("subjects")
    if not isinstance(toys, list) or not isinstance(subjects, list) or not len(toys) == len(subjects) <= MAX_SUBJECTS:
        return ()
    return tuple(tuple(toy_photos(toy)) if isinstance(toy, str) else () for toy in toys)


def are_settings(settings: Mapping[str, Any]) -> bool:
    """Whether everything in a picture's settings is of its own type: code is made of them, and files may be forged."""
    given, subjects = settings.get, settings.get("subjects")
    return (
        all(isinstance(given(name), str) for name in ("model", "prompt", "negative_prompt"))
        and all(is_number(given(name)) for name in ("seed", *NUMBERS))
        and all(is_number(given(name, 0)) for name in ("binding", "clip_skip", "guidance_rescale", "image_strength"))
        and isinstance(given("sampler"), str | None)
        and isinstance(given("balance_photos", False), bool)
        and isinstance(given("parts", {}), dict)
        and isinstance(subjects, list)
        and all(isinstance(subject, dict) and _is_subject(subject) for subject in subjects)
    )


def _is_subject(subject: Mapping[str, Any]) -> bool:
    choices = subject.get("faces", [])
    return (
        isinstance(subject.get("name"), str)
        and is_number(subject.get("strength"))
        and isinstance(subject.get("photos"), int)
        and isinstance(choices, list)
        and all(isinstance(choice, list) and len(choice) == 2 and all(map(is_number, choice)) for choice in choices)
        and "region" not in subject  # which no code of the page's gives
    )


def _photo_names(packed: zipfile.ZipFile) -> list[str]:
    """The photos in the order of their numbers."""
    found = [(int(match[1]), match[0]) for match in map(_PHOTO.fullmatch, packed.namelist()) if match]
    return [name for _, name in sorted(found)[:MAX_PHOTOS]]


def _read(packed: zipfile.ZipFile, name: str, most: int = MAX_FILE) -> bytes:
    """Read a file of a zip, whatever size it claims to have."""
    with packed.open(name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"{name} is too large")
    return data


def _shared_out(photos: Sequence[str], settings: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Each subject's photos: their names count through all subjects, and the settings have the numbers."""
    start = 0
    for subject in settings.get("subjects") or () if photos else ():
        count = subject.get("photos", 0) if isinstance(subject, Mapping) else 0
        count = count if isinstance(count, int) else 0
        yield tuple(photos[start : start + count])
        start += count


def _record(path: str, name: str) -> FileRecord:
    return {"path": path, "orig_name": name, "mime_type": _media_type(path), "meta": {"_type": "gradio.FileData"}}


def _media_type(path: str) -> str:
    with Image.open(path) as image:
        return Image.MIME.get(image.format or "", "image/png")


def restorable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the settings inside a picture goes back into the fields.

    Photos are only counted there; a path in a forged picture is left out.
    """
    record = {name: _clean(settings[name]) for name in RESTORED_SETTINGS if name in settings}
    subjects = settings.get("subjects")
    if isinstance(subjects, Sequence) and all(isinstance(subject, Mapping) for subject in subjects):
        record["subjects"] = [
            {"name": _clean(subject.get("name", "")), "strength": subject.get("strength"), "photos": 0}
            for subject in subjects
        ]
    if isinstance(concepts := record.pop("concepts", None), list):
        record["concepts"] = ", ".join(_clean(concept) for concept in concepts if isinstance(concept, str))
    return record


def _clean(value: Any) -> Any:
    return without_controls(value) if isinstance(value, str) else value


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


def restore_message(settings: Mapping[str, Any], refused: Sequence[str], model: str, with_photos: bool = False) -> str:
    """Return a message about settings that went back into the fields.

    Args:
        settings: those inside the picture.
        refused: what no field can hold.
        model: the loaded one.
        with_photos: the photos came, too.
    """
    subjects = [subject for subject in settings.get("subjects") or () if isinstance(subject, Mapping)]
    without_field = {"region": "regions", "faces": "chosen faces"}
    missing = [*refused, *(what for key, what in without_field.items() if any(key in subject for subject in subjects))]
    made_by, loaded = shown_name(str(settings.get("model", model))), model
    taken = "This picture has no subjects; the fields now hold its prompt and settings."
    if with_photos:
        taken = "The fields now hold this picture's prompt, photos and settings."
    elif subjects:
        taken = (
            "The fields now hold this picture's prompt and settings, but its photos are not in the file: add those "
            "that are missing."
        )
    sentences = [
        taken,
        f"Not taken over: {', '.join(missing)}." if missing else "",
        f"The picture is of another model, “{made_by}”; here “{loaded}” is loaded." if made_by != loaded else "",
    ]
    return " ".join(filter(None, sentences))
