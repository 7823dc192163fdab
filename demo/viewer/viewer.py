"""The heatmap viewer: a component that runs in the browser, and what turns the steps of a run into what it shows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

import gradio as gr
from PIL import Image

from demo.form.form import Form
from demo.form.prompt_words import PromptPiece, numbered_words, prompt_pieces
from demo.viewer.frames import (
    FinishedFrame,
    LiveFrame,
    SubjectLabel,
    ViewerValue,
    WaitingLive,
    progress_record,
)
from demo.viewer.history import History, HistoryEntry
from demo.viewer.leakage_advice import LeakageCase, LeakageRecord, leakage_record
from demo.viewer.map_encoding import pack_maps
from demo.viewer.reproduce import photo_names
from demo.web.cached_files import data_url, film_strip, picture_file
from demo.web.static_files import scripts, static
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.name_matching import distinct_names, fold
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
    *("viewer/maps", "viewer/controls", "viewer/timeline", "viewer/leakage"),
    *("viewer/png", "viewer/export", "viewer/drop_zone", "viewer/viewer"),
)


def viewer() -> gr.HTML:
    """Make an empty viewer; a :class:`RunPresenter` makes its ``value`` and ``live``."""
    empty: ViewerValue = {"run": None, "pictures": []}
    return gr.HTML(
        value=empty,
        live=None,
        html_template=static("viewer/viewer.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="result",
    )


def waiting_update(key: str) -> gr.HTML:
    """Return the viewer's update before the first step; ``key`` is that of a text."""
    live: WaitingLive = {"progress": {"waiting": key, "done": 0}}
    return gr.HTML(live=live)


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
        self.slots = form.slots
        self.files = tuple(subject.photos for subject in form.subjects)
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
        self.started = time.monotonic()

    def add(self, step: Step) -> gr.HTML:
        """Take in a step; returns the update for the viewer."""
        self.previews.append(step.preview)
        if step.finished is None:
            return gr.HTML(live=self._live(step))
        self.finish(step.finished)
        value: ViewerValue = {"run": self.run, "pictures": list(self.frames)}
        return gr.HTML(value=value, live=None if step.result is not None else self._live(step))

    def finish(self, picture: GeneratedImage) -> FinishedFrame:
        """Put a finished picture into the history, with the previews since the last one; returns its frame."""
        entry = HistoryEntry(picture, tuple(self.previews), self.slots, self.photos, self.files, self.origin)
        name = f"{self.run}-{len(self.frames)}"
        self.history.add(name, entry)
        frame = self._frame(name, entry)
        self.frames.append(frame)
        self.previews = []
        return frame

    def _live(self, step: Step) -> LiveFrame:
        done = (step.image_index * step.steps + step.step) / (step.image_count * step.steps)
        numbers = (step.image_index + 1, step.image_count, step.step, step.steps)
        return {
            "image": data_url(step.preview),
            "caption": ("preview_at", {"n": step.step}),
            "sentence": self.sentence,
            "subjects": self.subjects,
            "maps": pack_maps(step.maps, newest=True),
            "run": self.run,
            "progress": progress_record(*numbers, done, self.started),
        }

    def _frame(self, name: str, entry: HistoryEntry) -> FinishedFrame:
        picture, file = entry.picture, picture_file(entry.picture)
        prompt = "".join(piece["text"] for piece in self.sentence)
        width, height = picture.image.size
        facts = {"seed": picture.seed, "steps": picture.settings["steps"], "width": width, "height": height}
        return {
            "image": file,
            "caption": ("picture_of", {"prompt": prompt, "seed": picture.seed}),
            "sentence": self.sentence,
            "subjects": self.subjects,
            "maps": pack_maps(picture.maps),
            "name": name,
            "file": file["orig_name"],
            "facts": ("picture_facts", facts),
            "strip": film_strip(entry.previews),
            "leakage": self._leakage(entry),
            "python": entry.python,
            "shell": entry.shell,
        }

    def _leakage(self, entry: HistoryEntry) -> dict[MapKind, LeakageRecord]:
        """For each kind of map, over all steps."""
        picture = entry.picture
        if picture.maps is None or not picture.maps.records:
            return {}
        unknown = {fold(word.text): word.text for word in picture.words if not self.reader.knows(word.text)}
        measured = {kind: subject_leakage(picture.maps, kind) for kind in picture.maps.kinds}
        cases = {
            kind: LeakageCase(found, self.names, entry.slots, picture.settings, tuple(unknown.values()))
            for kind, found in measured.items()
        }
        return {kind: leakage_record(case) for kind, case in cases.items()}
