"""A link that fills in the fields: words, numbers and toys of the rendered world, but no photos.

::

    ?prompt=a+cat+in+the+snow&seed=3&steps=20&subject=cat~1.0~cat-1000005&model=...

A subject is its name, its strength and its toy, which is empty where the photos are others; a toy is its noun, the seed
of its looks and, unless it is all of them, its views. ``inspect=1`` asks for the prompt alone, ``concepts`` are words
that it does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import gradio as gr
from PIL import Image

from demo.form.examples import PHOTOS, render_toy
from demo.form.value_types import without_controls
from demo.server.limits import MAX_SUBJECTS
from demo.web.cached_files import TOY, photo_path
from demo.web.static_files import scripts
from mmdiff_core.encoders.photo import DECODING_ERRORS
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD
from mmdiff_core.types import ALL_COMPONENTS, MAX_SEED

MAX_LENGTH = 40_000  # characters, of which a sign of another script takes up to nine
MAX_FIELDS = 64
MAX_SHOWN = 40  # characters of a value in a message
MAX_NAME = 200  # characters of a subject's name
NUMBERS = ("seed", "steps", "guidance", "start_step", "width", "height")
UNUSUAL_NUMBERS = ("binding", "clip_skip", "guidance_rescale")  # 0 where the link does not name them
IMAGE_STRENGTH = "image_strength"  # of a picture that it starts from
TEXTS = ("prompt", "negative_prompt", "sampler", "balance_photos", "inspect", "concepts", "without", "subject", "model")
KNOWN = (*NUMBERS, *UNUSUAL_NUMBERS, IMAGE_STRENGTH, *TEXTS)
_OF_OTHERS = re.compile(r"__|utm_|\w*clid$")  # names that Gradio and other sites add to a link
_TOY = re.compile(r"([a-z]+)-([0-9]{1,10})(?:-([0-9]{1,3}))?")
_PARTS = tuple(vars(ALL_COMPONENTS))


@dataclass(frozen=True)
class OpenedLink:
    """What a link holds, as the fields take it.

    ``without_photos`` are the names of subjects whose photos it lacks, ``unknown`` what means nothing here.
    """

    record: Mapping[str, Any]
    model: str = ""
    without_photos: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    readable: bool = True

    def messages(self, refused: Sequence[str], model: str) -> list[str]:
        """Return sentences about what was done with it.

        Args:
            refused: what no field can hold.
            model: the loaded one.
        """
        if not self.readable:
            return ["The link is damaged or too long: ask for it again."]
        names = ", ".join(f"“{name[:MAX_SHOWN]}”" for name in self.without_photos)
        left_out = ", ".join((*refused, *self.unknown))
        return [
            "The fields are filled in from the link: press Generate to make its picture.",
            *([f"Photos are not in a link; add those of {names}."] if names else []),
            *(["It starts from a picture that is not in the link: add it."] if IMAGE_STRENGTH in self.record else []),
            *([f"Not taken over: {left_out}."] if left_out else []),
            *([_of_another(self.model, model)] if self.model not in ("", model) else []),
        ]


def link_note() -> gr.HTML:
    """Make the line that says what a link brought; its value are the sentences of :meth:`OpenedLink.messages`."""
    return gr.HTML(
        [],
        html_template='<p class="link-note" role="status" hidden></p>',
        js_on_load=scripts("form/share_link"),
        elem_id="link-note",
        apply_default_css=False,
        min_height=1,
    )


def _of_another(made: str, loaded: str) -> str:
    return f"The picture is of another model, “{made[:MAX_SHOWN]}”; here “{loaded}” is loaded."


def link_query(record: Mapping[str, Any], model: str) -> tuple[str, list[str]]:
    """Return the query of a link, and the names of the subjects whose photos are not in it.

    Args:
        record: a picture's settings, in which each subject's ``photos`` are paths.
        model: that made the picture.
    """
    fields = [("prompt", record["prompt"])]
    fields += [(name, str(record[name])) for name in NUMBERS if record.get(name) is not None]
    fields += [(name, str(record[name])) for name in UNUSUAL_NUMBERS if record.get(name)]
    fields += [(IMAGE_STRENGTH, str(record[IMAGE_STRENGTH]))] if record.get("start") else []
    fields += [(name, record[name]) for name in ("negative_prompt", "sampler") if record.get(name)]
    fields += [("balance_photos", "1")] if record.get("balance_photos") else []
    fields += [("inspect", "1"), ("concepts", record["concepts"])] if "concepts" in record else []
    off = [part for part in _PARTS if not record.get("parts", {}).get(part, True)]
    fields += [("without", ",".join(off))] if off else []
    subjects = [(subject, toy_of(subject["photos"])) for subject in record.get("subjects", ())]
    fields += [("subject", f"{subject['name']}~{subject['strength']}~{toy}") for subject, toy in subjects]
    lacking = [str(subject["name"]) for subject, toy in subjects if not toy]
    return "?" + urlencode([*fields, ("model", model)]), lacking


def toy_of(photos: Sequence[str]) -> str:
    """Return the toy that all of a subject's photos show, as links write it; empty where there is none."""
    marks = [_TOY.fullmatch(_mark(path)) for path in photos]
    found = {(mark[1], mark[2]) for mark in marks if mark}
    if len(found) != 1 or None in marks:
        return ""
    views = "".join(mark[3] or "" for mark in marks if mark)
    noun, seed = found.pop()
    return f"{noun}-{seed}" + ("" if views == "".join(map(str, range(PHOTOS))) else f"-{views}")


def _mark(path: str) -> str:
    try:
        with Image.open(path) as photo:
            return str(photo.info.get(TOY, ""))
    except (Image.DecompressionBombError, *DECODING_ERRORS):
        return ""


def read_link(query: object) -> OpenedLink | None:
    """Return what the query of the page's address holds; None where it is no link of ours.

    Its values are anybody's: those that are not valid stay as they are, for the fields to refuse.
    """
    if not isinstance(query, str) or "prompt=" not in query:
        return None
    try:
        given = parse_qsl(query.lstrip("?"), max_num_fields=MAX_FIELDS) if len(query) <= MAX_LENGTH else []
    except ValueError:
        given = []
    given = [(name, without_controls(value)) for name, value in given]
    values = dict(given)
    if "prompt" not in values:
        return OpenedLink({}, readable=False)
    subjects = [_subject(value) for name, value in given if name == "subject"]
    record: dict[str, Any] = {"prompt": values["prompt"], "negative_prompt": values.get("negative_prompt", "")}
    record |= {name: _number(values[name]) for name in NUMBERS if name in values}
    record |= {name: _number(values.get(name, "0")) for name in UNUSUAL_NUMBERS}
    record |= {IMAGE_STRENGTH: _number(values[IMAGE_STRENGTH])} if IMAGE_STRENGTH in values else {}
    record |= {"start": [], "lacks_start": IMAGE_STRENGTH in values}
    record |= {"sampler": values["sampler"][:MAX_SHOWN] if "sampler" in values else None}
    record |= {"balance_photos": values.get("balance_photos") == "1", "pictures": 1}
    off = values.get("without", "").split(",")
    record["parts"] = {part: part not in off for part in _PARTS}
    blank = [] if values.get("inspect") == "1" else [{"name": "", "strength": 1.0, "photos": []}]
    record["subjects"] = subjects or blank
    record["concepts"] = values.get("concepts", "")
    lacking = tuple(subject["name"] for subject in subjects[:MAX_SUBJECTS] if not subject["photos"])
    unknown = [f"{name} {value}"[:MAX_SHOWN] for name, value in given if name not in KNOWN]
    unknown = [field for field in unknown if not _OF_OTHERS.match(field.split(" ")[0])]
    unknown += [f"without {part}"[:MAX_SHOWN] for part in filter(None, off) if part not in _PARTS]
    return OpenedLink(record, values.get("model", ""), lacking, tuple(unknown))


def _subject(text: str) -> dict[str, Any]:
    name, strength, toy = (*text.rsplit("~", 2), "", "")[:3]
    return {"name": name[:MAX_NAME], "strength": _number(strength or "1"), "photos": toy_photos(toy)}


def toy_photos(toy: str) -> list[str]:
    """Render a toy as links write it, and return the paths of its photos; none where there is no such toy."""
    mark = _TOY.fullmatch(toy)
    if mark is None or mark[1] not in WHOLE_WORLD.classes or int(mark[2]) > MAX_SEED:
        return []
    photos = render_toy(mark[1], int(mark[2])).photos
    views = [int(view) for view in mark[3]] if mark[3] else range(PHOTOS)
    return [photo_path(photos[view]) for view in views if view < PHOTOS]


def _number(text: str) -> float | str:
    """A number, or what stands in its place."""
    if re.fullmatch(r"-?[0-9]{1,20}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,20})?", text) else text[:MAX_SHOWN]
