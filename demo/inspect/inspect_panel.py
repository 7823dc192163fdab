"""What the picture is made from, photos or the prompt alone, and what the Studio asks for in the second case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.form.form import Form
from demo.web.events import QUIET, Update
from demo.web.i18n import text
from demo.web.static_files import scripts
from demo.words.list_notes import list_notes, listed_words
from demo.words.note_html import notes_html
from demo.words.notes import amended_text
from demo.words.word_notes import WordReader
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary

Values = Mapping[Component, Any]
# The values of fields differ from the keys of texts, which Gradio would translate.
WITH_PHOTOS, PROMPT_ALONE = "mode-photos", "mode-prompt"

# Each with a word that its prompt does not have.
PROMPTS = (
    ("a red car in the snow", "cat"),
    ("a cat next to a robot on the beach", "dog"),
    ("a rabbit wearing a red hat in the forest", "dog"),
    ("a frog in front of a boat in the meadow", "robot"),
)
WIDE_WORLD_PROMPTS = (
    ("a red bicycle leaning on a yellow wall", "car"),
    ("a cat watching the rain through a window", "dog"),
    ("a lighthouse on a cliff at sunset, oil painting", "ship"),
)


class InspectPanel:
    """A switch between photos and the prompt alone; style sheets show what belongs to either.

    What belongs to one of the two only has the class ``with-photos`` or ``prompt-only``.

    Args:
        known: what the model was trained on; None for a model of the real world.
        reader: knows the words that the model reads.
    """

    def __init__(self, known: Vocabulary | None = None, reader: WordReader | None = None) -> None:
        self.prompts = WIDE_WORLD_PROMPTS if known is None else PROMPTS
        self.reader = reader or WordReader(known)

    def render_mode(self) -> None:
        """Make the switch and the examples of the prompt alone inside the current layout."""
        self.mode = gr.Radio(
            [(text("mode_photos"), WITH_PHOTOS), (text("mode_prompt"), PROMPT_ALONE)],
            value=WITH_PHOTOS,
            show_label=False,
            container=False,
            label=text("mode"),
            elem_id="mode",
        )
        gr.HTML(text("inspect_head"), elem_classes=["section", "prompt-only"], apply_default_css=False)
        buttons = "".join(
            f'<button type="button" class="prompt-example" data-prompt="{number}">{escape(prompt)}</button>'
            for number, (prompt, _) in enumerate(self.prompts)
        )
        self.examples = gr.HTML(
            f'<div class="examples">{buttons}</div>',
            js_on_load=scripts("inspect/inspect_panel"),
            apply_default_css=False,
            elem_id="prompt-examples",
            elem_classes=["section", "prompt-only"],
        )

    def render(self) -> None:
        """Make the field of further words inside the current layout."""
        self.concepts = gr.Textbox(
            label=text("concepts"),
            info=text("concepts_info"),
            placeholder=text("concepts_like"),
            max_lines=1,
            elem_id="concepts",
            elem_classes="prompt-only",
        )
        self.notes = gr.HTML(
            "",
            js_on_load=scripts("inspect/concept_notes"),
            elem_id="concept-notes",
            elem_classes="prompt-only",
            apply_default_css=False,
        )

    def listen(self, prompt: gr.Textbox) -> None:
        """Let an example fill in the prompt and the further words; the script goes on to Generate."""
        picked = self.examples.pick(self._pick, None, [prompt, self.concepts], **QUIET)
        picked.then(None, js="() => { document.dispatchEvent(new CustomEvent('mmdiff-filled')); }", **QUIET)
        self.notes.amend(self._amend, self.concepts, self.concepts, **QUIET)

    @property
    def fields(self) -> tuple[Component, ...]:
        """Every component that a person fills in."""
        return (self.mode, self.concepts)

    def applied(self, form: Form, values: Values) -> Form:
        """Return the form as it counts: without its subjects where the prompt alone makes the picture."""
        if values.get(self.mode) != PROMPT_ALONE:
            return form
        concepts = listed_words(values.get(self.concepts) or "")
        return replace(form, subjects=(), rejected=(), inspected=True, concepts=concepts)

    def restore(self, record: Mapping[str, Any]) -> Update:
        """Put a record into the fields; a picture without subjects was made from its prompt alone."""
        mode, concepts = record.get("mode"), record.get("concepts")
        if mode is None and isinstance(record.get("subjects"), list):
            mode = WITH_PHOTOS if record["subjects"] else PROMPT_ALONE
        update: Update = {self.mode: mode} if mode in (WITH_PHOTOS, PROMPT_ALONE) else {}
        return update | ({self.concepts: concepts} if isinstance(concepts, str) else {})

    def notes_update(self, values: Values, prompt: str) -> gr.HTML:
        """Return the update of the notes about the further words, beside a prompt."""
        listed = values.get(self.concepts) or ""
        return gr.HTML(notes_html(list_notes(self.reader, listed, prompt), listed))

    def _amend(self, event: gr.EventData, listed: str | None) -> Any:
        """Make a change that a note offers, unless the words are others by now."""
        amended = amended_text(listed or "", event)
        return gr.skip() if amended is None else amended

    def _pick(self, event: gr.EventData) -> tuple[str, str]:
        return self.prompts[int(event.index)]
