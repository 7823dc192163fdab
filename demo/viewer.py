"""The heatmap viewer: a component that runs in the browser, and the records it is fed with."""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import uuid4

import gradio as gr
import numpy as np

from demo.files import data_url, picture_file
from demo.sentence import Piece, pieces
from demo.theme import static
from mmdiff_core.attention_maps import AttentionMaps
from mmdiff_core.heatmap import colour_of
from mmdiff_core.types import Picture, Step, Stream, Word


class PackedMap(TypedDict):
    """A map of attention: h * w bytes in base64; byte 0 stands for ``lo`` and byte 255 for ``hi``."""

    h: int
    w: int
    lo: float
    hi: float
    data: str


StepPack = dict[Stream, list[PackedMap]]  # per kind of map, one per subject


def viewer() -> gr.HTML:
    """An empty viewer. Feed it with ``gr.HTML(value=..., live=...)`` made by :class:`Album`."""
    return gr.HTML(
        value={"run": None, "pictures": []},
        live=None,
        html_template=static("viewer.html"),
        js_on_load=static("heatmap.js") + static("viewer.js"),
        apply_default_css=False,
        elem_id="result",
    )


def pack_map(values: np.ndarray) -> PackedMap:
    """(h, w) float -> 8 bits a pixel between its own lowest and highest value."""
    lo, hi = float(values.min()), float(values.max())
    scaled = (values - lo) * (255 / (hi - lo)) if hi > lo else np.zeros_like(values)
    data = base64.b64encode(scaled.round().astype(np.uint8).tobytes()).decode()
    return {"h": values.shape[0], "w": values.shape[1], "lo": lo, "hi": hi, "data": data}


def pack_step(maps: AttentionMaps, step: int) -> StepPack:
    """The maps of one step (counted from 0), averaged over layers; kinds that the step has not are left out."""
    recorded = {stream for record in maps.records if record.step == step for stream in record.streams}
    subjects = range(len(maps.subjects))
    return {
        stream: [pack_map(maps.at(i, stream, step)) for i in subjects] for stream in maps.streams if stream in recorded
    }


class Album:
    """Turns the steps of one run into what the viewer shows. Lives as long as the run."""

    def __init__(self, prompt: str, words: Sequence[Word], slots: Sequence[int]) -> None:
        self.run = uuid4().hex[:12]
        self.sentence: list[Piece] = pieces(prompt, words)
        self.subjects = [
            {"name": word.text, "colour": colour_of(slot)} for word, slot in zip(words, slots, strict=True)
        ]
        self.pictures: list[dict[str, Any]] = []
        self.maps: list[StepPack] = []
        self.started = time.monotonic()

    def add(self, step: Step) -> gr.HTML:
        """Take a step in; returns the update for the viewer."""
        if step.maps is not None:
            self.maps += [pack_step(step.maps, number) for number in step.maps.steps[len(self.maps) :]]
        if step.picture is None:
            return gr.HTML(live=self._live(step))
        self.pictures.append(self._finished(step.picture))
        self.maps = []
        live = None if step.result is not None else self._live(step)
        return gr.HTML(value={"run": self.run, "pictures": list(self.pictures)}, live=live)

    def _shot(self, image: Any, caption: str, maps: Sequence[StepPack]) -> dict[str, Any]:
        return {
            "image": image,
            "caption": caption,
            "sentence": self.sentence,
            "subjects": self.subjects,
            "maps": list(maps),
        }

    def _live(self, step: Step) -> dict[str, Any]:
        shot = self._shot(data_url(step.preview), f"Preview at step {step.step}", self.maps[-1:])
        return shot | {"run": self.run, "progress": self._progress(step)}

    def _progress(self, step: Step) -> dict[str, Any]:
        done = step.picture_index * step.steps + step.step
        total = step.picture_count * step.steps
        left = (time.monotonic() - self.started) / done * (total - done)
        which = f"Picture {step.picture_index + 1} of {step.picture_count} · " if step.picture_count > 1 else ""
        return {"text": f"{which}step {step.step} of {step.steps} · {_duration(left)} left", "done": done / total}

    def _finished(self, picture: Picture) -> dict[str, Any]:
        caption = f"{''.join(piece['text'] for piece in self.sentence)} (seed {picture.seed})"
        size = f"{picture.image.width} × {picture.image.height}"
        facts = f"Seed {picture.seed} · {picture.settings['steps']} steps · {size}"
        file = picture_file(picture)
        return self._shot(file, caption, self.maps) | {"file": file["orig_name"], "facts": facts}


def waiting(text: str) -> gr.HTML:
    """The viewer before the first step."""
    return gr.HTML(live={"progress": {"text": text, "done": 0}})


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"
