"""Records of what the browser shows: frames, each a picture with its maps, and the progress of a run."""

from __future__ import annotations

import time
from typing import NotRequired, TypedDict

from PIL import Image

from demo.form.prompt_words import PromptPiece, numbered_words, prompt_pieces
from demo.form.value_types import is_number
from demo.inspect.token_parts import TokenRecord, token_record
from demo.viewer.leakage_advice import LeakageRecord, Phrase
from demo.viewer.map_encoding import PackedMaps, pack_maps, pack_tokens
from demo.viewer.saved_picture import SavedPicture
from demo.web.cached_files import FileRecord, FilmStrip
from mmdiff_core.encoders.name_matching import distinct_names
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.encoders.prompt_weights import read_weights
from mmdiff_core.errors import PromptError
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.types import MapKind


class LinkRecord(TypedDict):
    """The query of a link to the page, and the names of the subjects whose photos are not in it.

    ``start``: it starts from a picture, which is not in the link either.
    """

    query: str
    lacking: list[str]
    start: bool


class SubjectLabel(TypedDict):
    """A subject's word and colour."""

    name: str
    colour: str


class Progress(TypedDict):
    """Where a run is: ``picture`` and ``step`` count from 1, ``done`` is the fraction of all steps."""

    picture: int
    pictures: int
    step: int
    steps: int
    left: str
    done: float


class Waiting(TypedDict):
    """A run before its first step; ``waiting`` is the key of a text."""

    waiting: str
    done: int


class MapsRecord(TypedDict):
    """The maps of a picture: of its subjects or, where ``tokens`` name them, of all that an inspected prompt has."""

    maps: PackedMaps
    tokens: NotRequired[TokenRecord]


class Frame(MapsRecord):
    """What frames of finished pictures and of those in the making have in common."""

    caption: Phrase
    sentence: list[PromptPiece]
    subjects: list[SubjectLabel]


class LiveFrame(Frame):
    """The picture in the making, a data URL, with its newest maps; ``stopped``: nobody makes it any more."""

    image: str
    run: str
    progress: Progress
    stopped: NotRequired[bool]


class MovedFrame(Frame):
    """A picture that answers a slider while *Live* is on, a data URL; ``move`` counts the moves of a ``run``."""

    image: str
    run: str
    move: int


class FinishedFrame(Frame):
    """A finished picture with all that is looked at without the server.

    ``file`` is the name to save it under; ``python`` and ``shell`` make the picture again, ``link``
    fills in the fields; ``labels`` tell the pictures
    of a comparison apart; ``form`` is the fingerprint of the form that it was made with; ``example``: a page
    begins with it; ``pending``: its maps, film strip and leakage come when it is looked at; ``foreign``:
    it was opened from a file, and what it was made from is not all there.
    """

    image: FileRecord
    name: str
    file: str
    facts: Phrase
    strip: FilmStrip | None
    leakage: dict[MapKind, LeakageRecord]
    python: str
    shell: str
    link: NotRequired[LinkRecord | None]
    form: NotRequired[str]
    example: NotRequired[bool]
    labels: NotRequired[list[list[str]]]
    pending: NotRequired[bool]
    foreign: NotRequired[bool]


def maps_record(maps: AttentionMaps | None, tokens: TokenMaps | None, newest: bool = False) -> MapsRecord:
    """Return the maps of the subjects, or of every token of an inspected prompt."""
    if tokens is None:
        return {"maps": pack_maps(maps, newest)}
    return {"maps": pack_tokens(tokens, newest), "tokens": token_record(tokens)}


def opened_frame(name: str, saved: SavedPicture) -> FinishedFrame:
    """Return a picture from a file as it is, with the maps that it brings, and nothing that makes it again."""
    settings, maps, file = saved.settings, saved.maps, saved.file
    assert file is not None
    prompt, seed = str(settings.get("prompt", "")), str(settings.get("seed", "?"))
    of_subjects = maps if isinstance(maps, AttentionMaps) else None
    tokens = maps if isinstance(maps, TokenMaps) else None
    names = distinct_names(of_subjects.subjects) if of_subjects else ()
    with Image.open(file["path"]) as image:
        width, height = image.size
    facts = {"seed": seed, "steps": settings.get("steps", "?"), "width": width, "height": height}
    if is_number(share := settings.get("image_strength")):
        facts["share"] = share
    frame: FinishedFrame = {
        **maps_record(of_subjects, tokens),
        "image": file,
        "caption": ("picture_of", {"prompt": prompt, "seed": seed}),
        "sentence": _pieces(prompt, of_subjects) if of_subjects else [{"text": prompt, "subject": None}],
        "subjects": [{"name": name, "colour": colour_of(number)} for number, name in enumerate(names)],
        "name": name,
        "file": file["orig_name"],
        "facts": ("picture_facts_from" if "share" in facts else "picture_facts", facts),
        "strip": None,
        "leakage": {},
        "python": "",
        "shell": "",
        "foreign": True,
    }
    if saved.painted:
        frame["labels"] = [["painted_in", ""]]
    return frame


def _pieces(prompt: str, maps: AttentionMaps) -> list[PromptPiece]:
    """Cut a prompt at its words, which have the maps of an opened picture; in one piece where it is another prompt."""
    try:
        return numbered_words(prompt_pieces(*find_words(read_weights(prompt)[0], maps.subjects)))
    except PromptError:
        return [{"text": prompt, "subject": None}]


class ViewerValue(TypedDict):
    """The finished pictures of a run.

    ``opened``: it is a picture that was opened from elsewhere; ``restored``: they are those of an earlier visit.
    """

    run: str | None
    pictures: list[FinishedFrame]
    opened: NotRequired[bool]
    restored: NotRequired[bool]
    kept: NotRequired[int]  # the move of *Live* whose picture this is


class WaitingLive(TypedDict):
    """What stands in the place of a :class:`LiveFrame` before the first step."""

    progress: Waiting


def progress_record(picture: int, pictures: int, step: int, steps: int, done: float, started: float) -> Progress:
    """Describe the progress of a run that started at a time of ``time.monotonic``."""
    left = (time.monotonic() - started) * (1 / done - 1)
    return {
        "picture": picture,
        "pictures": pictures,
        "step": step,
        "steps": steps,
        "left": _duration(left),
        "done": done,
    }


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"
