"""A subject's card: name, photos, strength, a die."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component
from PIL import Image

from demo.form import SubjectForm
from mmdiff_core.heatmap import colour_of

Update = dict[Component, Any]


class SubjectCard:
    """One of the fixed cards; hidden cards keep their values."""

    def __init__(self, slot: int, most_strength: float = 2.0) -> None:
        self.slot = slot
        self.most_strength = most_strength

    def render(self, visible: bool) -> None:
        """Make the components inside the current layout."""
        number = self.slot + 1
        with gr.Column(visible=visible, elem_classes="card", min_width=240) as self.column:
            with gr.Row(elem_classes="card-head"):
                gr.HTML(
                    f'<h3 style="--subject:{colour_of(self.slot)}"><i></i>Subject {number}</h3>', elem_classes="grow"
                )
                self.die = gr.Button(
                    "New toy", size="sm", min_width=0, elem_id=f"die-{number}", elem_classes="quiet die"
                )
                self.remove = gr.Button(
                    "Remove", size="sm", min_width=0, elem_id=f"remove-{number}", elem_classes="quiet"
                )
            self.photos = gr.Gallery(
                label=f"Photos of subject {number}",
                show_label=False,
                type="filepath",
                file_types=["image"],
                sources=["upload", "webcam", "clipboard"],
                interactive=True,
                columns=3,
                height=150,
                object_fit="cover",
                format="png",
                allow_preview=False,
                buttons=[],
                elem_id=f"photos-{number}",
                elem_classes="photos",
            )
            self.name = gr.Textbox(
                label="Name in the prompt",
                placeholder="cat" if self.slot % 2 == 0 else "robot",
                max_lines=1,
                elem_id=f"name-{number}",
            )
            self.strength = gr.Slider(
                0, self.most_strength, value=1.0, step=0.05, label="Strength", elem_id=f"strength-{number}"
            )

    @property
    def fields(self) -> tuple[Component, ...]:
        """The components that hold what the person gave, in the order of :meth:`content`."""
        return (self.name, self.photos, self.strength)

    def read(self, values: Mapping[Component, Any]) -> SubjectForm:
        """The card as it stands; ``values`` maps components to what they hold."""
        photos = tuple(path for path, _ in values[self.photos] or ())
        return SubjectForm(self.slot, (values[self.name] or "").strip(), photos, values[self.strength])

    def fill(self, name: str, photos: Sequence[Image.Image | str] | None, strength: float = 1.0) -> Update:
        """Put a subject into the card."""
        return {self.name: name, self.photos: list(photos) if photos else None, self.strength: strength}

    def show(self, visible: bool) -> Update:
        """Show or hide the card."""
        return {self.column: gr.update(visible=visible)}  # type: ignore[dict-item]


def _head(slot: int) -> str:
    return f'<h3 style="--subject:{colour_of(slot)}"><i></i>Subject {slot + 1}</h3>'
