"""The heatmap viewer: a component that runs in the browser, and what turns the steps of a run into what it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import gradio as gr
from PIL import Image

from demo.form.form import Form
from demo.form.prompt_words import PromptPiece, numbered_words, prompt_pieces
from demo.server.zero_gpu import AnyStep, bare_step
from demo.viewer.frames import (
    FinishedFrame,
    LiveFrame,
    MapsRecord,
    SubjectLabel,
    ViewerValue,
    WaitingLive,
    maps_record,
    opened_frame,
    progress_record,
)
from demo.viewer.history import History, HistoryEntry
from demo.viewer.leakage_advice import LeakageCase, LeakageRecord, leakage_record
from demo.viewer.map_encoding import NO_MAPS
from demo.viewer.reproduce import photo_names
from demo.viewer.saved_picture import SavedPicture
from demo.web.cached_files import data_url, film_strip
from demo.web.static_files import scripts, static
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.name_matching import distinct_names, fold
from mmdiff_core.encoders.prompt import find_words
from mmdiff_core.encoders.prompt_weights import read_weights
from mmdiff_core.errors import PromptError
from mmdiff_core.inspection.prompt_recorder import InspectedStep
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.maps.leakage import subject_leakage
from mmdiff_core.results import GeneratedImage, Step
from mmdiff_core.types import MapKind, Word
from mmdiff_core.weights.model_source import ModelSource

HEATMAP_SCRIPTS = (  # pure functions, in the order in which the browser reads them
    *("viewer/heatmap", "viewer/map_decoding", "viewer/palettes", "viewer/overlay"),
)
SCRIPTS = (
    *HEATMAP_SCRIPTS,
    *("viewer/maps", "viewer/tokens", "viewer/controls", "viewer/timeline", "viewer/leakage"),
    *("viewer/png", "viewer/export", "viewer/drop_zone", "viewer/readout", "viewer/pacing", "viewer/viewer"),
)


def viewer(example: FinishedFrame | None = None) -> gr.HTML:
    """Make a viewer without pictures; a :class:`RunPresenter` makes its ``value`` and ``live``.

    Args:
        example: what it shows until there are some.
    """
    empty: ViewerValue = {"run": None, "pictures": []}
    return gr.HTML(
        value=empty,
        live=None,
        notice=None,
        fetched=None,
        example=example,
        html_template=static("viewer/viewer.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="result",
    )


def waiting_update(key: str) -> gr.HTML:
    """Return the viewer's update before the first step; ``key`` is that of a text."""
    live: WaitingLive = {"progress": {"waiting": key, "done": 0}}
    return gr.HTML(live=live, notice=None)


def opened_value(saved: SavedPicture, history: History, origin: ModelSource | None, model: str) -> ViewerValue:
    """Return a picture that was opened from a file, with the maps that it brings.

    One that the loaded model can make again joins the history, with all that there is to be done with a picture.

    Args:
        saved: the picture, with a file.
        history: of the session.
        origin: of the loaded model.
        model: its name.
    """
    name = f"opened-{uuid4().hex}"
    entry = _opened_entry(saved, origin) if saved.complete and saved.settings["model"] == model else None
    if entry is None:
        frame = opened_frame(name, saved)
    else:
        history.add(name, entry)
        frame = finished_frame(name, entry)
    return {"run": uuid4().hex, "pictures": [frame], "opened": True}


def _opened_entry(saved: SavedPicture, origin: ModelSource | None) -> HistoryEntry | None:
    """Return what the history keeps of a picture from a file; None where its words are not those of its subjects."""
    settings, maps, file = saved.settings, saved.maps, saved.file
    assert file is not None
    try:
        prompt, words = find_words(read_weights(settings["prompt"])[0], [each["name"] for each in settings["subjects"]])
    except PromptError:
        return None
    with Image.open(file["path"]) as opened:
        image = opened.convert("RGB")
    of_subjects = maps if isinstance(maps, AttentionMaps) and len(maps.subjects) == len(words) else None
    return HistoryEntry(
        GeneratedImage(image, int(settings["seed"]), of_subjects, words, settings),
        (*saved.previews[:-1], image) if saved.previews else (),
        *(tuple(range(len(words))), photo_names(saved.photos), saved.photos, origin or ModelSource()),
        sentence=tuple(numbered_words(prompt_pieces(prompt, words))),
        file=file,
        start=saved.start,
        tokens=maps if isinstance(maps, TokenMaps) else None,
    )


def restored_value(history: History) -> ViewerValue:
    """Return a session's pictures for a page that is opened again, the newest first.

    Maps may take megabytes: they come with the newest picture, and with another one when it is looked at.
    """
    entries = list(history.entries.items())[::-1]
    pictures = [finished_frame(name, entry, light=number > 0) for number, (name, entry) in enumerate(entries)]
    return {"run": uuid4().hex if pictures else None, "pictures": pictures, "restored": True}


class RunPresenter:
    """Turns the steps of one run into what the viewer shows, and puts finished pictures into the session's history.

    Args:
        prompt: without triggers.
        words: of the subjects, in it.
        form: what the fields held.
        history: the session's.
        origin: of the model; None where it is unknown, which counts as the built-in one.
        reader: knows the words that the model reads; None: it knows all.
    """

    def __init__(
        self,
        prompt: str,
        words: Sequence[Word],
        form: Form,
        history: History,
        origin: ModelSource | None = None,
        reader: WordReader | None = None,
    ) -> None:
        self.run = uuid4().hex
        self.sentence: list[PromptPiece] = numbered_words(prompt_pieces(prompt, words))
        self.form = form.fingerprint
        self.slots = form.slots
        self.files = tuple(subject.photos for subject in form.subjects)
        self.start = "" if form.start is None else form.start.path
        self.photos = photo_names(self.files)
        self.reader = reader or WordReader()
        self.names = distinct_names([word.text for word in words])
        self.subjects: list[SubjectLabel] = [
            {"name": name, "colour": colour_of(slot)} for name, slot in zip(self.names, self.slots, strict=True)
        ]
        self.history = history
        self.origin = origin or ModelSource()
        self.frames: list[FinishedFrame] = []
        self.previews: list[Image.Image] = []
        self.live: LiveFrame | None = None
        self.tokens: TokenMaps | None = None  # of an inspected picture in the making
        self.complete = False
        self.started = time.monotonic()

    def add(self, step: AnyStep) -> gr.HTML:
        """Take in a step; returns the update for the viewer."""
        known = len(self.frames)
        self.take(step)
        return self.news(known)

    @property
    def finished(self) -> int:
        """How many pictures are finished."""
        return len(self.frames)

    def take(self, taken: AnyStep) -> None:
        """Take in a step."""
        step = bare_step(taken)
        self.tokens = taken.tokens if isinstance(taken, InspectedStep) else None
        self.previews.append(step.preview)
        if step.finished is not None:
            self.finish(step.finished)
        self.complete = step.result is not None
        self.live = None if self.complete else self._live(step)

    def news(self, known: int) -> gr.HTML:
        """Return the viewer's update for a page that shows ``known`` finished pictures of the run."""
        if len(self.frames) == known:
            return gr.HTML(live=self.live)
        value: ViewerValue = {"run": self.run, "pictures": list(self.frames)}
        return gr.HTML(value=value, live=self.live)

    def ended(self, stopped: bool) -> gr.HTML:
        """Return the viewer's update once nothing runs.

        Of a run that was stopped before a picture was finished the last preview stays; what happened is said.
        """
        if not stopped or self.complete:
            return gr.HTML(live=None)
        if self.live is None:
            return gr.HTML(live=None, notice=("stopped_before", {}))
        at = self.live["progress"]
        if self.frames:
            return gr.HTML(live=None, notice=("stopped_some", {"n": self.finished, "m": at["pictures"]}))
        which = {"picture": at["picture"], "pictures": at["pictures"]} if at["pictures"] > 1 else {}
        where = {"n": at["step"], "m": at["steps"], **which}
        return gr.HTML(live=self.live | {"stopped": True}, notice=("stopped_in" if which else "stopped_at", where))

    def finish(self, picture: GeneratedImage) -> FinishedFrame:
        """Put a finished picture into the history, with the previews since the last one; returns its frame."""
        previews = (*self.previews[:-1], picture.image) if self.previews else ()  # the last step made the picture
        unknown = {fold(word.text): word.text for word in picture.words if not self.reader.knows(word.text)}
        entry = HistoryEntry(
            *(picture, previews, self.slots, self.photos, self.files, self.origin),
            sentence=tuple(self.sentence),
            tokens=self.tokens,
            unknown=tuple(unknown.values()),
            form=self.form,
            start=self.start,
        )
        entry = replace(entry, file=entry.written_file())
        name = f"{self.run}-{len(self.frames)}"
        self.history.add(name, entry)
        frame = finished_frame(name, entry)
        self.frames.append(frame)
        self.previews = []
        return frame

    def _live(self, step: Step) -> LiveFrame:
        done = (step.image_index * step.steps + step.step) / (step.image_count * step.steps)
        numbers = (step.image_index + 1, step.image_count, step.step, step.steps)
        return {
            **maps_record(step.maps, self.tokens, newest=True),
            "image": data_url(step.preview),
            "caption": ("preview_at", {"n": step.step}),
            "sentence": self.sentence,
            "subjects": self.subjects,
            "run": self.run,
            "progress": progress_record(*numbers, done, self.started),
        }


def finished_frame(name: str, entry: HistoryEntry, light: bool = False) -> FinishedFrame:
    """Return what the viewer shows of a picture of the history.

    Args:
        name: in the history.
        entry: the picture.
        light: without maps, and marked as such; the page asks for them when somebody looks at the picture.
    """
    picture, file = entry.picture, entry.claimed_file()
    sentence = list(entry.sentence)
    width, height = picture.image.size
    facts = {"seed": str(picture.seed), "steps": picture.settings["steps"], "width": width, "height": height}
    if "image_strength" in picture.settings:
        facts["share"] = picture.settings["image_strength"]
    subjects = zip(entry.names, entry.colours, strict=True)
    looks: MapsRecord = {"maps": NO_MAPS} if light else maps_record(picture.maps, entry.tokens)
    frame: FinishedFrame = {
        **looks,
        "image": file,
        "caption": ("picture_of", {"prompt": "".join(piece["text"] for piece in sentence), "seed": str(picture.seed)}),
        "sentence": sentence,
        "subjects": [{"name": subject, "colour": colour} for subject, colour in subjects],
        "name": name,
        "file": file["orig_name"],
        "facts": ("picture_facts_from" if "share" in facts else "picture_facts", facts),
        "strip": None if light else film_strip(entry.previews),
        "leakage": {} if light else _leakage(entry),
        "python": entry.python,
        "shell": entry.shell,
        "link": entry.link,
        "form": entry.form,
    }
    if light:
        frame["pending"] = True
    return frame


def _leakage(entry: HistoryEntry) -> dict[MapKind, LeakageRecord]:
    """For each kind of map, over all steps."""
    picture = entry.picture
    if picture.maps is None or not picture.maps.records:
        return {}
    measured = {kind: subject_leakage(picture.maps, kind) for kind in picture.maps.kinds}
    cases = {
        kind: LeakageCase(found, entry.names, entry.slots, picture.settings, entry.unknown)
        for kind, found in measured.items()
    }
    return {kind: leakage_record(case) for kind, case in cases.items()}
