"""Who is in the picture, and what it shows: the subjects' cards and the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.examples import Filling, ToyBox
from demo.form import SLOTS, Form, Settings, SubjectForm
from demo.panels import QUIET, SPEAKING
from demo.panels.subject import SubjectCard, Update
from demo.photos import sift
from demo.sentence import reading

Values = Mapping[Component, Any]
SHOWN_AT_FIRST = 2


class ComposePanel:
    """Up to four cards and the prompt that names them."""

    def __init__(self, toys: ToyBox, note: str = "") -> None:
        self.toys = toys
        self.note = note
        self.cards = [SubjectCard(slot) for slot in range(SLOTS)]

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.count = gr.State(SHOWN_AT_FIRST)
        with gr.Row(elem_classes="section-head"):
            gr.HTML(_SUBJECTS_HEAD, elem_classes="section", apply_default_css=False)
            self.add = gr.Button(
                "Add a subject", size="sm", min_width=0, scale=0, elem_id="add-subject", elem_classes="quiet add"
            )
        with gr.Row(elem_classes="cards"):
            for card in self.cards:
                card.render(visible=card.slot < SHOWN_AT_FIRST)
        gr.HTML(_prompt_head(self.note), elem_classes="section", apply_default_css=False)
        self.prompt = gr.Textbox(
            label="Prompt",
            show_label=False,
            container=False,
            placeholder="a cat next to a robot on the beach",
            lines=2,
            max_lines=6,
            elem_id="prompt",
        )
        self.reading = gr.HTML(reading(Form("", ())), elem_id="reading", apply_default_css=False)

    def listen(self) -> None:
        """Tie cards, die and prompt to each other."""
        self.add.click(self._add, self.count, [self.count, self.add, *self._columns()], **QUIET)
        for card in self.cards:
            card.remove.click(partial(self._remove, card.slot), {self.count, *self.fields}, self._everything(), **QUIET)
            card.die.click(
                partial(self._roll, card),
                {card.name, self.prompt},
                [*card.fields, self.prompt],
                queue=False,
                show_progress_on=card.photos,
                api_visibility="private",
            )
            card.photos.upload(sift, card.photos, card.photos, **SPEAKING)
        gr.on(
            [self.prompt.change, *(part.change for card in self.cards for part in (card.name, card.photos))],
            self._read_aloud,
            {self.count, *self.fields},
            self.reading,
            trigger_mode="always_last",
            **QUIET,
        )

    @property
    def fields(self) -> tuple[Component, ...]:
        """Every component that holds what the person gave."""
        return (self.prompt, self.count, *(part for card in self.cards for part in card.fields))

    def read(self, values: Values, settings: Settings | None = None) -> Form:
        """The fields as they stand, without blank and hidden cards."""
        subjects = [card.read(values) for card in self.cards[: values[self.count]]]
        kept = tuple(subject for subject in subjects if not subject.blank)
        return Form((values[self.prompt] or "").strip(), kept, settings or Settings())

    def fill(self, filling: Filling) -> Update:
        """Replace everything by an example."""
        count = max(len(filling.subjects), SHOWN_AT_FIRST)
        update = self._shown(count) | {self.prompt: filling.prompt}
        for card in self.cards:
            given = filling.subjects[card.slot] if card.slot < len(filling.subjects) else None
            update |= card.fill(given.name, given.photos) if given else card.fill("", None)
        return update

    def targets(self) -> list[Component]:
        """What :meth:`fill` writes to."""
        return self._everything()

    def galleries(self) -> list[Component]:
        """Where photos appear."""
        return [card.photos for card in self.cards]

    # ------------------------------------------------------------ events

    def _add(self, count: int) -> Update:
        return self._shown(min(count + 1, SLOTS))

    def _remove(self, slot: int, values: Values) -> Update:
        """Drop a card; the later ones move up. The last card that is left is only emptied."""
        forms = [card.read(values) for card in self.cards[: values[self.count]]]
        left = [form for form in forms if form.slot != slot]
        update = self._shown(max(len(left), 1))
        for card in self.cards:
            form = left[card.slot] if card.slot < len(left) else SubjectForm(card.slot, "", ())
            update |= card.fill(form.name, form.photos, form.strength)
        return update

    def _roll(self, card: SubjectCard, values: Values) -> Update:
        """A toy never seen in training. Writes a prompt only where there is none."""
        toy = self.toys.roll(values[card.name] or "")
        prompt = values[self.prompt] or self.toys.prompt_for(toy.name)
        return {card.name: toy.name, card.photos: list(toy.photos), self.prompt: prompt}

    def _read_aloud(self, values: Values) -> str:
        return reading(self.read(values))

    def _shown(self, count: int) -> Update:
        update: Update = {self.count: count, self.add: gr.update(visible=count < SLOTS)}
        for card in self.cards:
            update |= card.show(card.slot < count)
        return update

    def _columns(self) -> Sequence[Any]:
        return [card.column for card in self.cards]

    def _everything(self) -> list[Component]:
        return [*self.fields, self.add, *self._columns()]


_SUBJECTS_HEAD = """<h2>Subjects</h2>
<p>Drop photos of each and give it the word that stands for it. No photo at hand? Take a new toy.</p>"""
_PROMPT_HEAD = """<h2>Prompt</h2>
<p>Describe the picture and name every subject in it. <span class="keys">Ctrl + Enter generates.</span></p>"""


def _prompt_head(note: str) -> str:
    details = f"<details><summary>What the built-in model knows</summary>{escape(note)}</details>"
    return _PROMPT_HEAD + (details if note else "")
