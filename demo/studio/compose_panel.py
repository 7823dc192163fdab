"""The subjects' cards, the prompt, and its words as chips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.form.examples import ExampleContent, RandomToys
from demo.form.form import Form, Settings, SubjectForm
from demo.form.photo_picker import photo_picker_script
from demo.form.photos import still_cached
from demo.form.prompt_words import chips_html, count_word
from demo.form.sliders import fits_slider
from demo.server.limits import MAX_SUBJECTS
from demo.server.photo_files import PhotoFiles
from demo.studio.subject_card import SubjectCard
from demo.web.events import QUIET, Update
from demo.web.i18n import text
from demo.web.static_files import scripts
from demo.web.undo import Undo
from demo.words.notes import amended_text
from demo.words.prompt_edits import KINDS, add_phrase, add_word, with_subject
from demo.words.word_notes import WordReader
from mmdiff_core.encoders.face import FaceAnalyser
from mmdiff_core.encoders.name_matching import fold, occurrences, without_blank_edges, without_invisible_signs
from mmdiff_core.errors import PhotoError
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.types import Word

Values = Mapping[Component, Any]
INITIAL_CARDS = 2


class ComposePanel:
    """Up to four cards and the prompt that names them.

    Args:
        toys: for the cards' "New toy" buttons.
        side: pixels a side of what the model's image encoder takes.
        faces: finds faces, where the adapter reads them.
        photo_files: decoded photos, shared by the cards.
        reader: knows the words that the model reads.
    """

    def __init__(
        self,
        toys: RandomToys,
        side: int = 224,
        faces: FaceAnalyser | None = None,
        photo_files: PhotoFiles | None = None,
        reader: WordReader | None = None,
    ) -> None:
        self.toys = toys
        self.reader = reader or WordReader()
        self.undo = Undo()
        self.cards = [SubjectCard(slot, side, faces, photo_files) for slot in range(MAX_SUBJECTS)]

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.undo.render()
        self.count = gr.Number(INITIAL_CARDS, precision=0, visible="hidden")  # in the browser's draft, unlike a state
        self._render_prompt()
        with gr.Row(elem_classes=["section-head", "with-photos"]):
            gr.HTML(text("subjects_head"), elem_classes="section", apply_default_css=False)
            self.add = gr.Button(
                text("add_subject"), size="sm", min_width=0, scale=0, elem_id="add-subject", elem_classes="quiet add"
            )
        classes = ["section", "with-photos"]
        if self.toys.limited:
            gr.HTML(text("toys_note"), elem_id="toys-note", elem_classes=classes, apply_default_css=False)
        if self.cards[0].faces is not None:
            gr.HTML(text("face_consent"), elem_id="face-consent", elem_classes=classes, apply_default_css=False)
        with gr.Row(elem_classes=["cards", "with-photos"]):
            for card in self.cards:
                card.render(visible=card.slot < INITIAL_CARDS)

    def _render_prompt(self) -> None:
        with gr.Column(elem_classes="prompt-head"):
            gr.HTML(text("prompt_head"), elem_classes="section", apply_default_css=False)
        self.prompt = gr.Textbox(
            label=text("prompt"),
            show_label=False,
            container=False,
            placeholder=text("prompt_like"),
            lines=2,
            max_lines=6,
            elem_id="prompt",
        )
        with gr.Column(elem_classes="chips-area"):
            self.chips = gr.HTML(
                "",
                cards=INITIAL_CARDS,
                colours=[colour_of(slot) for slot in range(MAX_SUBJECTS)],
                js_on_load=scripts("studio/compose_panel") + photo_picker_script(),
                elem_id="chips",
                apply_default_css=False,
            )
            gr.HTML(text("chips_help"), elem_id="chips-help", elem_classes="with-photos", apply_default_css=False)
        if self.toys.limited:
            gr.HTML(text("known_chips"), elem_id="known", apply_default_css=False)

    def listen(self) -> None:
        """Connect cards, chips and prompt to each other."""
        self.add.click(self._add, self.count, [self.count, self.add, *self._columns()], **QUIET)
        for card in self.cards:
            card.listen()
            removed = self.undo.around(partial(self._remove, card.slot), "undo_remove")
            card.remove.click(removed, self.kept_fields, [*self.targets(), *self.undo.parts], **QUIET)
            card.random_toy.click(
                self.undo.around(partial(self._draw_toy, card), "undo_toy"),
                self.kept_fields,
                [*dict.fromkeys([*card.targets, *self.names, self.prompt, *self.undo.parts])],
                queue=False,
                show_progress_on=card.photos,
                api_visibility="private",
            )
            card.photos.change(self._take_name, self.kept_fields, [*self.names, *self.undo.parts], **QUIET)
        self.chips.assign(self._assign, {self.count, *self.fields}, self.targets(), **QUIET)
        self.chips.write(self._write, self.prompt, self.prompt, **QUIET)
        self.chips.phrase(self._add_phrase, self.prompt, self.prompt, **QUIET)
        self.chips.amend(self._amend, self.prompt, [self.prompt, *self.names], **QUIET)

    @property
    def fields(self) -> tuple[Component, ...]:
        """Every component that a person fills in."""
        return (self.prompt, self.count, *(part for card in self.cards for part in card.fields))

    @property
    def names(self) -> list[gr.Textbox]:
        """The field of each subject's name."""
        return [card.name for card in self.cards]

    @property
    def kept_fields(self) -> set[Block]:
        """Inputs of an event whose update can be undone."""
        return {self.undo.stack, *self.fields}

    def before(self, values: Values, fields: Iterable[Block]) -> Update:
        """Return the update that undoes the last step; see ``Undo.last``."""
        update = self.undo.last(values, fields)
        for card in self.cards:
            update |= card.show_photos(update[card.photos] or ()) if card.photos in update else {}
        return update | (self._shown(update[self.count]) if self.count in update else {})

    def read(self, values: Values, settings: Settings | None = None) -> Form:
        """Read the fields, without blank and hidden cards."""
        subjects = [card.read(values) for card in self.cards[: values[self.count]]]
        filled = tuple(subject for subject in subjects if not subject.blank)
        rejected = tuple((subject.slot, sentence) for subject in subjects for sentence in subject.rejected)
        return Form(without_blank_edges(values[self.prompt] or ""), filled, settings or Settings(), rejected)

    def fill(self, content: ExampleContent) -> Update:
        """Replace everything with an example."""
        forms = [(subject.name, subject.photos) for subject in content.subjects]
        update = self._shown(max(len(forms), INITIAL_CARDS)) | {self.prompt: content.prompt}
        for card in self.cards:
            update |= card.fill(*forms[card.slot]) if card.slot < len(forms) else card.fill("", None)
        return update

    def show(self, form: Form) -> Update:
        """Put the prompt and the subjects of a form into the fields, each subject into its card."""
        subjects = {subject.slot: subject for subject in form.subjects}
        update = self._shown(max((slot + 1 for slot in subjects), default=1)) | {self.prompt: form.prompt}
        for card in self.cards:
            subject = subjects.get(card.slot, SubjectForm(card.slot, "", ()))
            update |= card.fill(subject.name, subject.photos, subject.strength, subject.rejected, subject.faces)
        return update

    def restore(self, record: Mapping[str, Any]) -> Update:
        """Put prompt, subjects and strengths of a record into the fields; what is absent or not valid is left out.

        A subject's ``photos`` are paths that the browser remembers, or a number, which leaves the card's photos alone.
        """
        update: Update = {self.prompt: record["prompt"]} if isinstance(record.get("prompt"), str) else {}
        subjects = record.get("subjects")
        if isinstance(subjects, list) and all(isinstance(subject, dict) for subject in subjects[:MAX_SUBJECTS]):
            update |= self._shown(len(subjects[:MAX_SUBJECTS])) if subjects else {}
            for card, subject in zip(self.cards, subjects, strict=False):  # further cards are only hidden
                update |= _restored(card, subject)
        for slot, strength in (record.get("strengths") or {}).items():
            if fits_slider(self.cards[slot].strength, strength):
                update[self.cards[slot].strength] = strength
        return update

    def refused(self, record: Mapping[str, Any]) -> list[str]:
        """Return what of a record's subjects :meth:`restore` leaves out because no card can hold it."""
        subjects = record.get("subjects") or []
        refused = []
        for card, subject in zip(self.cards, subjects, strict=False):
            strength = subject.get("strength")
            if strength is not None and not fits_slider(card.strength, strength):
                refused.append(f"strength {strength} of “{subject['name']}”")
        return refused + [f"the subject “{subject['name']}”" for subject in subjects[MAX_SUBJECTS:]]

    def targets(self) -> list[Component]:
        """Return the components that :meth:`fill` and :meth:`restore` write to."""
        seen = [card.seen for card in self.cards]
        return [*self.fields, *seen, self.add, *self._columns()]

    def add_photo(self, values: Values, path: str) -> Update:
        """Return the update that adds a photo to the first card without one, or to a new card; it can be undone.

        Raises:
            PhotoError: every card has photos and there is no room for another.
        """
        count = values[self.count]
        free = next((card for card in self.cards[:count] if not values[card.photos]), None)
        if free is None and count == MAX_SUBJECTS:
            raise PhotoError("Every subject has photos already: remove a subject, or the photos of one, first.")
        card = free or self.cards[count]
        update = self._shown(max(count, card.slot + 1)) | card.show_photos([path])
        if name := without_blank_edges(values[card.name] or ""):
            return self.undo.keep(values, update, "undo_photo", always=True, name=name)
        return self.undo.keep(values, update, "undo_photo_nameless", always=True, n=card.slot + 1)

    def galleries(self) -> list[Component]:
        """Return the components in which photos appear."""
        return [card.photos for card in self.cards]

    def chips_update(self, form: Form, count: int) -> gr.HTML:
        """Return the update of the chips: the prompt's words, and how many cards they can be assigned to."""
        return gr.HTML(chips_html(form, self.reader), cards=count)

    def name_in_prompt(self, values: Values) -> Update:
        """Return the name of the one card with photos and without a name, where the prompt leaves no choice.

        That is where just one word of the prompt is a toy that no other card is named after.
        """
        shown = self.cards[: values[self.count]]
        names = [without_blank_edges(values[card.name] or "") for card in shown]
        nameless = [card for card, name in zip(shown, names, strict=True) if values[card.photos] and not name]
        toys = self.reader.toys_in(values[self.prompt] or "", [name for name in names if name])
        return {nameless[0].name: toys[0]} if len(nameless) == len(toys) == 1 else {}

    def name_update(self, values: Values) -> Update:
        """Return the update that writes the name of :meth:`name_in_prompt` into its field; it can be undone."""
        found = self.name_in_prompt(values)
        return self.undo.keep(values, found, "undo_name", always=True) if found else {}

    # ------------------------------------------------------------ events

    def _take_name(self, values: Values) -> Update:
        return self.name_update(values) or {self.undo.stack: gr.skip()}  # Gradio does not take an empty update

    def _add(self, count: int) -> Update:
        return self._shown(min(count + 1, MAX_SUBJECTS))

    def _remove(self, slot: int, values: Values) -> Update:
        """Remove a card and move the later ones up; the last card is only emptied."""
        forms = [card.read(values) for card in self.cards[: values[self.count]]]
        left = [form for form in forms if form.slot != slot]
        update = self._shown(max(len(left), 1))
        for card in self.cards:
            form = left[card.slot] if card.slot < len(left) else SubjectForm(card.slot, "", ())
            update |= card.fill(form.name, form.photos, form.strength, form.rejected, form.faces)
        return update

    def _draw_toy(self, card: SubjectCard, values: Values) -> Update:
        """Fill a card with a random toy, and write its name into the prompt where that lacks it.

        A card without a name gets the prompt's first toy that no other card stands for. A prompt of another language is
        put into English, as a toy's name is English: the model reads no other, and the two would mix.
        """
        shown = self.cards[: values.get(self.count, len(self.cards))]
        english = self._english(values, shown)
        values = {**values, **english}
        prompt = values[self.prompt] or ""
        others = [values.get(other.name) or "" for other in shown if other is not card]
        waiting = WordReader(self.toys.known).toys_in(prompt, [name for name in others if name])
        old = without_blank_edges(values[card.name] or "") or (waiting[0] if waiting else "")
        toy = self.toys.draw(old)
        named = with_subject(prompt, old, toy.name, others) if without_blank_edges(prompt) else ""
        filled = card.fill(toy.name, toy.photos, values[card.strength])
        return english | filled | {self.prompt: named or self.toys.prompt_for(toy.name)}

    def _english(self, values: Values, shown: Sequence[SubjectCard]) -> Update:
        """Return the update that puts the prompt, and the names in it, into English; empty where there is none."""
        prompt = without_invisible_signs(without_blank_edges(values[self.prompt] or ""))
        named = [(card.slot, without_blank_edges(values.get(card.name) or "")) for card in shown]
        words = [Word(slot, prompt[a:b], a, b) for slot, name in named for a, b in occurrences(prompt, name)[:1]]
        fix = self.reader.english_fix(prompt, words)
        if fix is None:
            return {}
        return {self.prompt: fix.text} | {self.cards[slot].name: name for slot, name in fix.names.items()}

    def _assign(self, event: gr.EventData, values: Values) -> Update:
        """Assign a word to a subject (``slot``), to a new one, or (no slot) to none; no two subjects share a word."""
        word, slot, count = str(event.word), event.slot, values[self.count]
        update: Update = self._shown(min(count + 1, MAX_SUBJECTS)) if slot == count else {}
        names = {card.slot: fold(values[card.name] or "") for card in self.cards[:count]}
        owners = [i for i, name in names.items() if name == fold(word) and i != slot]
        spare = count_word(values[self.prompt] or "", word) - (slot is not None)
        for owner in owners[max(spare, 0) :] if slot is not None else owners[-1:]:
            update |= {self.cards[owner].name: ""}
        return update if slot is None else update | {self.cards[int(slot)].name: word}

    def _write(self, event: gr.EventData, prompt: str | None) -> str:
        """Write the name of a subject into the prompt."""
        return add_word(prompt or "", str(event.name))

    def _add_phrase(self, event: gr.EventData, prompt: str | None) -> str:
        """Write something that the model knows into the prompt."""
        if self.reader.known is None or event.kind not in KINDS:
            return prompt or ""
        return add_phrase(prompt or "", event.kind, str(event.phrase), self.reader.known)

    def _amend(self, event: gr.EventData, prompt: str | None) -> Update:
        """Make a change that a note offers, unless the prompt is another by now."""
        prompt = without_invisible_signs(without_blank_edges(prompt or ""))
        amended = amended_text(prompt, event)
        if amended is None:
            return {self.prompt: gr.skip()}
        names = {self.cards[int(slot)].name: str(name) for slot, name in dict(event.names).items()}
        return {self.prompt: amended} | names

    def _shown(self, count: int) -> Update:
        update: Update = {self.count: count, self.add: gr.update(visible=count < MAX_SUBJECTS)}
        for card in self.cards:
            update |= card.show(card.slot < count)
        return update

    def _columns(self) -> Sequence[Any]:
        return [card.column for card in self.cards]


def _restored(card: SubjectCard, subject: Mapping[str, Any]) -> Update:
    """A card filled from a record; see :meth:`ComposePanel.restore`."""
    name, strength, photos = str(subject.get("name", "")), subject.get("strength"), subject.get("photos")
    strength = strength if fits_slider(card.strength, strength) else 1.0
    if not isinstance(photos, list):
        return {card.name: name, card.strength: strength}
    kept, rejected = still_cached([path for path in photos if isinstance(path, str)], card.photo_files)
    return card.fill(name, kept, strength, rejected)
