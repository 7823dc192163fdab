"""The heatmap viewer: a component that runs in the browser, and the records it is fed with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import gradio as gr
from PIL import Image

from demo.form.form import Form
from demo.form.prompt_words import PromptPiece, numbered_words, prompt_pieces
from demo.viewer.history import History, HistoryEntry
from demo.viewer.leakage_advice import LeakageCase, LeakageRecord, Phrase, leakage_record
from demo.viewer.map_encoding import PackedMaps, pack_maps
from demo.viewer.reproduce import photo_names
from demo.web.cached_files import data_url, film_strip, picture_file
from demo.web.static_files import scripts, static
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.maps.leakage import subject_leakage
from mmdiff_core.results import GeneratedImage, Step
from mmdiff_core.types import MapKind, Word
from mmdiff_core.weights.model_source import ModelSource

# In the order in which the browser reads them.
SCRIPTS = (
    *("viewer/heatmap", "viewer/palettes", "viewer/contour", "viewer/overlay"),  # pure functions
    *("viewer/maps", "viewer/controls", "viewer/timeline", "viewer/leakage"),
    *("viewer/export", "viewer/drop_zone", "viewer/viewer"),
)
NO_MAPS: PackedMaps = {"steps": 0, "streams": {}}


def viewer() -> gr.HTML:
    """An empty viewer. Feed it with ``gr.HTML(value=..., live=...)`` made by :class:`RunPresenter`."""
    return gr.HTML(
        value={"run": None, "pictures": []},
        live=None,
        html_template=static("viewer/viewer.html"),
        js_on_load=scripts(*SCRIPTS),
        apply_default_css=False,
        elem_id="result",
    )


class RunPresenter:
    """Turns the steps of one run into what the viewer shows, and puts finished pictures on the session's shelf.

    Args:
        prompt: without triggers.
        words: of the subjects, in it.
        form: what was asked for.
        shelf: the session's.
        origin: of the model; None where it is not known, which counts as the built-in one.
    """

    def __init__(
        self, prompt: str, words: Sequence[Word], form: Form, history: History, origin: ModelSource | None = None
    ) -> None:
        self.run = uuid4().hex
        self.sentence: list[PromptPiece] = numbered_words(prompt_pieces(prompt, words))
        self.slots = form.slots
        self.files = tuple(subject.photos for subject in form.subjects)
        self.photos = photo_names(self.files)
        self.subjects = [
            {"name": word.text, "colour": colour_of(slot)} for word, slot in zip(words, self.slots, strict=True)
        ]
        self.history = history
        self.origin = origin or ModelSource()
        self.pictures: list[dict[str, Any]] = []
        self.previews: list[Image.Image] = []
        self.started = time.monotonic()

    def add(self, step: Step) -> gr.HTML:
        """Take a step in; returns the update for the viewer."""
        self.previews.append(step.preview)
        if step.finished is None:
            return gr.HTML(live=self._live(step))
        self.finish(step.finished)
        live = None if step.result is not None else self._live(step)
        return gr.HTML(value={"run": self.run, "pictures": list(self.pictures)}, live=live)

    def _frame(self, image: Any, caption: Phrase, maps: PackedMaps) -> dict[str, Any]:
        return {"image": image, "caption": caption, "sentence": self.sentence, "subjects": self.subjects, "maps": maps}

    def _live(self, step: Step) -> dict[str, Any]:
        maps = pack_maps(step.maps, newest=True) if step.maps else NO_MAPS
        frame = self._frame(data_url(step.preview), ("preview_at", {"n": step.step}), maps)
        return frame | {"run": self.run, "progress": self._progress(step)}

    def _progress(self, step: Step) -> dict[str, Any]:
        done = step.image_index * step.steps + step.step
        total = step.image_count * step.steps
        left = (time.monotonic() - self.started) / done * (total - done)
        return {
            "picture": step.image_index + 1,
            "pictures": step.image_count,
            "step": step.step,
            "steps": step.steps,
            "left": duration_text(left),
            "done": done / total,
        }

    def finish(self, picture: GeneratedImage) -> dict[str, Any]:
        """Put a finished picture, with the previews since the last one, on the shelf; returns its record."""
        frame = self._finished(picture)
        self.pictures.append(frame)
        self.previews = []
        return frame

    def _finished(self, picture: GeneratedImage) -> dict[str, Any]:
        kept = HistoryEntry(picture, tuple(self.previews), self.slots, self.photos, self.files, self.origin)
        name = f"{self.run}-{len(self.pictures)}"
        self.history.add(name, kept)
        file = picture_file(picture)
        prompt = "".join(piece["text"] for piece in self.sentence)
        width, height = picture.image.size
        facts = {"seed": picture.seed, "steps": picture.settings["steps"], "width": width, "height": height}
        caption: Phrase = ("picture_of", {"prompt": prompt, "seed": picture.seed})
        return self._frame(file, caption, pack_maps(picture.maps) if picture.maps else NO_MAPS) | {
            "name": name,
            "file": file["orig_name"],
            "facts": ("picture_facts", facts),
            "strip": film_strip(kept.previews),
            "bindings": _bindings(kept),
            "python": kept.python,
            "shell": kept.shell,
        }


def waiting_update(key: str) -> gr.HTML:
    """The viewer before the first step, and the key of what it says."""
    return gr.HTML(live={"progress": {"waiting": key, "done": 0}})


def _bindings(kept: HistoryEntry) -> dict[MapKind, LeakageRecord]:
    """Per kind of map, over all steps."""
    picture = kept.picture
    maps, names = picture.maps, [word.text for word in picture.words]
    if maps is None or not maps.records:
        return {}
    cases = {kind: LeakageCase(subject_leakage(maps, kind), names, kept.slots, picture.settings) for kind in maps.kinds}
    return {kind: leakage_record(case) for kind, case in cases.items()}


def duration_text(seconds: float) -> str:
    """For a person who waits."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"
