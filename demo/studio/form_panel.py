"""All fields of the Studio together: what they hold, their errors, and how a record fills them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demo.form import browser_draft
from demo.form.examples import vocabulary_of
from demo.form.form import Form
from demo.form.share_link import link_note, read_link
from demo.form.validation import (
    FieldError,
    Severity,
    errors_on_submit,
    errors_while_typing,
    field_error_of,
    first_blocking,
)
from demo.inspect.inspect_panel import InspectPanel
from demo.studio.compose_panel import ComposePanel
from demo.studio.settings_panel import SettingsPanel
from demo.studio.start_panel import StartPanel
from demo.viewer.map_budget import token_recording, with_map_budget
from demo.web.events import QUIET, Update
from demo.web.static_files import scripts
from mmdiff_core.errors import MMDiffError
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.types import GenerateRequest, Recording

if TYPE_CHECKING:
    from demo.server.service import Service
    from mmdiff_core.generation.request_plan import Plan

Values = Mapping[Component, Any]


class FieldErrorRecord(TypedDict):
    """A :class:`FieldError` for the page."""

    place: str
    text: str
    severity: Severity


class ErrorsRecord(TypedDict):
    """The errors of a form.

    ``attempt`` differs with every Generate in vain, and is empty while somebody types; ``form`` is a digest of the
    fields, ``fingerprint`` one of what decides a picture.
    """

    errors: list[FieldErrorRecord]
    attempt: str
    form: str
    fingerprint: str


class FormPanel:
    """Compose, inspect, the picture to start from and settings together, with the errors beside their fields."""

    def __init__(self, service: Service, compose: ComposePanel, settings: SettingsPanel, start: StartPanel) -> None:
        self.service = service
        self.compose = compose
        self.inspect = InspectPanel(vocabulary_of(service.backbone), compose.reader)
        self.settings = settings
        self.start = start

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.linked = link_note()
        self.compose.render()
        self.inspect.render()
        self.start.render()
        self.settings.render()
        self.draft = gr.JSON(visible=False)

    def render_errors(self) -> None:
        """Make the line above the button; its script also shows every error beside its field."""
        self.errors = gr.HTML(
            self.errors_record(Form("", ()), ()),
            html_template='<p class="first-error" role="alert" hidden></p>',
            js_on_load=scripts("studio/form_panel"),
            elem_id="field-errors",
            apply_default_css=False,
        )

    def listen(self, page: gr.Blocks) -> None:
        """Check what is typed; keep it in the browser; fetch it from there when the page is opened."""
        self.compose.listen()
        self.inspect.listen(self.compose.prompt)
        undo = self.compose.undo
        undone: set[Block] = {undo.stack, self.compose.prompt, *(card.name for card in self.compose.cards)}
        undo.toast.undo(self._undo, undone, [*self.targets(), *undo.parts], **QUIET)
        self.settings.listen()
        self.start.listen()
        changes = [field.change for field in self._draft_fields.values()]
        changes += [event for card in self.compose.cards for event in (card.rejected.change, card.seen.change)]
        changes.append(self.start.rejected.change)
        # Each change on its own, without inputs: Gradio reads all inputs and all targets of an event at each of them.
        for change in (*changes, self.compose.count.change):
            change(None, js="() => { window.dispatchEvent(new Event('mmdiff-changed')); return []; }", **QUIET)
        self.errors.settle(
            self._review,
            self.fields,
            [self.compose.chips, self.inspect.notes, self.errors],
            trigger_mode="always_last",
            **QUIET,
        )
        self.errors.settle(
            None,
            [self.compose.count, *self._draft_fields.values()],
            None,
            js=browser_draft.save_script(["count", *self._draft_fields], self.service.backbone.display_name),
            **QUIET,
        )
        targets = [*self.targets(), self.linked]
        self.recalled = page.load(self._recall, self.draft, targets, js=browser_draft.load_script(), **QUIET)
        self.recalled.then(None, None, None, js=browser_draft.unlock_script(), **QUIET)

    @property
    def fields(self) -> set[Block]:
        """Inputs of an event that reads everything."""
        return {*self.compose.fields, *self.inspect.fields, *self.start.fields, *self.settings.fields}

    @property
    def kept_fields(self) -> set[Block]:
        """Inputs of an event that replaces what is in the fields, so that it can be undone."""
        return {self.compose.undo.stack, *self.fields}

    def kept_targets(self) -> list[Component]:
        """Return the outputs of such an event."""
        return [*self.targets(), self.linked, *self.compose.undo.parts]

    def replaced(self, values: Values, update: Update, always: bool = False, said: str = "") -> Update:
        """Return an update with a picture's settings that can be undone, and that ends what is said of a link.

        ``always`` and ``said`` are those of ``Undo.keep``.
        """
        return self.compose.undo.keep(values, update, "undo_settings", always, said) | {self.linked: []}

    def read(self, values: Values) -> Form:
        """Read the fields."""
        return self.inspect.applied(self.read_with_photos(values), values)

    def read_with_photos(self, values: Values) -> Form:
        """Read the fields as if the picture was made from photos, whatever the Studio shows."""
        form = self.compose.read(values, self.settings.read(values))
        return replace(form, start=self.start.read(values))

    def restore(self, record: Mapping[str, Any]) -> Update:
        """Put a record into the fields: any part of a picture's settings.

        A key that is absent leaves its field alone, and so does a value that is not valid. ``subjects`` are
        {"name", "strength", "photos"}, where ``photos`` is a number in a picture's settings, which leaves the card's
        photos alone. ``start`` is a list of at most one path. ``strengths`` are {slot: strength} and touch nothing else
        of a card.
        """
        nothing = {self.compose.count: gr.skip()}  # Gradio does not take an empty update
        parts = (self.compose, self.inspect, self.start, self.settings)
        return nothing | {field: value for part in parts for field, value in part.restore(record).items()}

    def show(self, form: Form, seed: int) -> Update:
        """Put a form into the fields, with this seed for its picture."""
        settings = {**vars(form.settings), "parts": vars(form.settings.parts), "seed": seed}
        mode = self.inspect.restore({"subjects": list(form.subjects)})
        return self.compose.show(form) | mode | self.start.show(form.start) | self.settings.restore(settings)

    def refused(self, record: Mapping[str, Any]) -> list[str]:
        """Return what of a record :meth:`restore` leaves out because no field can hold it."""
        return self.compose.refused(record) + self.start.refused(record) + self.settings.refused(record)

    def targets(self) -> list[Component]:
        """Return the outputs of an event that returns :meth:`restore`."""
        return [*self.compose.targets(), *self.inspect.fields, *self.start.targets, *self.settings.fields]

    def judge(self, form: Form) -> tuple[FieldError, ...]:
        """Return everything that is wrong in the fields once Generate was pressed, without opening a photo."""
        return errors_on_submit(
            form, self.service.sizes, self.service.limits.steps, self.compose.reader.english(form.prompt)
        )

    def plan(self, form: Form) -> tuple[Plan | None, tuple[FieldError, ...]]:
        """Return the plan of the form and what is wrong with it; no plan where something blocks it.

        The model's own refusal comes last among the errors.
        """
        errors = self.judge(form)
        if first_blocking(errors) is not None:
            return None, errors
        try:
            plan = self.service.plan(self.request(form))
            if (tokens := self.tokens(form, plan)) is None:
                return with_map_budget(plan, self.service), errors
            self.service.check_tokens(plan, tokens)
            return plan, errors
        except MMDiffError as error:
            return None, (*errors, field_error_of(error, form))

    def request(self, form: Form) -> GenerateRequest:
        """Return the form as a request that records its subjects and other words; errors as ``Form.request``."""
        request = form.request(self.service.limits, self.service.photo_files)
        return replace(request, recording=None if form.inspected else Recording(words=True))

    def tokens(self, form: Form, plan: Plan) -> TokenRecording | None:
        """Return what is recorded of an inspected prompt; None where the picture is made from photos."""
        return token_recording(plan, self.service, form.concepts) if form.inspected else None

    def errors_record(self, form: Form, errors: Sequence[FieldError], attempt: str = "") -> ErrorsRecord:
        """Describe the errors of a form for the page; a new word in ``attempt`` leads the person to the first."""
        digest = hashlib.sha256(repr(form).encode()).hexdigest()[:12]
        records: list[FieldErrorRecord] = [
            {"place": error.place, "text": error.text, "severity": error.severity} for error in errors
        ]
        return {"errors": records, "attempt": attempt, "form": digest, "fingerprint": form.fingerprint}

    def _review(self, values: Values) -> Update:
        form = self.read(values)
        english = self.compose.reader.english(form.prompt)
        errors = errors_while_typing(form, self.service.sizes, self.service.limits.steps, english)
        errors += tuple(FieldError("photos-start", sentence, "note") for sentence in values[self.start.rejected])
        chips = self.compose.chips_update(form, values[self.compose.count])
        concepts = self.inspect.notes_update(values, form.prompt)
        return {
            self.compose.chips: chips,
            self.inspect.notes: concepts,
            self.errors: self.errors_record(form, errors),
        }

    def _undo(self, values: Values) -> Update:
        return self.compose.before(values, self.fields)

    def _recall(self, draft: object) -> Update:
        model = self.service.backbone.display_name
        link = read_link(draft.get("link")) if isinstance(draft, dict) else None
        if link is None:
            return self.restore(browser_draft.read_draft(draft, model))
        said = link.messages(self.refused(link.record), model)
        return self.restore(link.record) | {self.linked: said}

    @property
    def _draft_fields(self) -> dict[str, Any]:
        """The fields that the browser keeps, by the names that :func:`demo.form.browser_draft.read_draft` reads."""
        fields: dict[str, Any] = {"prompt": self.compose.prompt}
        fields |= {"mode": self.inspect.mode, "concepts": self.inspect.concepts}
        for card in self.compose.cards:
            number = card.slot + 1
            fields |= {f"name-{number}": card.name, f"strength-{number}": card.strength}
            fields |= {f"photos-{number}": card.photos}
        settings = self.settings
        return fields | {
            "pictures": settings.pictures,
            "steps": settings.steps,
            "guidance": settings.guidance,
            "start_step": settings.start_step,
            "width": settings.width,
            "height": settings.height,
            "negative_prompt": settings.negative_prompt,
            "parts": settings.parts,
            "sampler": settings.sampler,
            "binding": settings.bound,
            "clip_skip": settings.clip_skip,
            "guidance_rescale": settings.rescale,
            "balance_photos": settings.balance,
            "photos-start": self.start.picture,
            "image_strength": self.start.strength,
            "seed": settings.seed,
            "fresh": settings.fresh,
        }
