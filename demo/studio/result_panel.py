"""Generate, Stop, and the result with its heatmaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from demo.form.form import StartPicture
from demo.server.error_messages import user_facing_errors
from demo.server.limits import Limits, local_limits
from demo.viewer.frames import FinishedFrame
from demo.viewer.history import History, animation_format, heatmap_style, map_kind, token_scale
from demo.viewer.kept_histories import KeptHistories
from demo.viewer.saved_picture import open_saved
from demo.viewer.viewer import finished_frame, opened_value, viewer, waiting_update
from demo.web.download import Download, download, download_target
from demo.web.events import QUIET, WITH_MESSAGES, Update
from demo.web.i18n import report_texts, text
from demo.web.run_buttons import busy_update

if TYPE_CHECKING:
    from demo.studio.form_panel import FormPanel

# The button that waits for a file is enabled again.
_FAILED = "() => void document.dispatchEvent(new CustomEvent('mmdiff-download'))"


class ActionButtons:
    """Generate and Stop, of which one is visible at a time."""

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.planned = gr.State(None)  # what the click on Generate is going to make
        with gr.Column(elem_id="actions"):
            self.generate = gr.Button(text("generate"), variant="primary", size="lg", elem_id="generate")
            self.stop = gr.Button(text("stop"), variant="stop", size="lg", visible=False, elem_id="stop")

    def busy(self, busy: bool) -> Update:
        """Show Stop while something runs."""
        return busy_update(self.generate, self.stop, busy)


class ResultPanel:
    """The viewer, the session's history, downloads, and Gradio's line about the place in the queue."""

    def __init__(self, limits: Limits | None = None, example: FinishedFrame | None = None) -> None:
        self.limits = limits or local_limits()
        self.example = example
        self.histories = KeptHistories(self.limits)

    def render(self) -> None:
        """Make the components inside the current layout."""
        self.queue = gr.HTML("", elem_id="queue", elem_classes="queue", apply_default_css=False, min_height=1)
        self.history = gr.State(History(self.limits))
        self.keys = gr.JSON(visible=False)  # of the history, in the browser's storages
        self.viewer = viewer(self.example)
        self.download = download_target("download")
        self.open = gr.UploadButton(
            text("open_picture"),  # type: ignore[arg-type]
            file_types=["image", ".zip"],  # what was not saved here is refused with a message
            size="sm",
            elem_id="open-picture",
            elem_classes="quiet",
        )

    def listen(self, form: FormPanel) -> None:
        """Answer the viewer's requests, and put settings back into the fields."""
        self.form = form
        options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": 1}
        packed = self.viewer.pack(self._pack, self.history, self.download, **options)
        animated = self.viewer.animate(self._animate, self.history, self.download, **options)
        written = self.viewer.write(self._write, self.history, self.download, **options)
        for order in (packed, animated, written):
            order.failure(None, None, None, js=_FAILED, **QUIET)
        self.viewer.fetch(self._fetch, self.history, self.viewer, **WITH_MESSAGES)
        kept, outputs = {self.history, *form.kept_fields}, form.kept_targets()
        self.viewer.reuse(self._reuse, kept, outputs, **WITH_MESSAGES)
        self.viewer.photo(self._use_as_photo, kept, outputs, **WITH_MESSAGES)
        self.viewer.begin(self._start_from, kept, outputs, **WITH_MESSAGES)
        self.viewer.advise(self._advise, kept, outputs, **WITH_MESSAGES)
        opened = [*outputs, self.viewer]
        self.open.upload(self._restore, {self.open, *kept}, opened, **WITH_MESSAGES)

    def starting(self) -> Update:
        """Return the update between the click and the first step."""
        return {self.viewer: waiting_update("waiting_for_first_step")}

    def idle(self, history: History) -> Update:
        """Return the update once nothing runs; finished pictures stay, and what became of the others is said."""
        return {self.viewer: history.job.ended() if history.job else gr.HTML(live=None)}

    def _fetch(self, history: History, event: gr.EventData) -> gr.HTML:
        """Send a picture with its maps."""
        with user_facing_errors():
            return gr.HTML(fetched=finished_frame(event.name, history.get(event.name)))

    def _pack(self, history: History, event: gr.EventData) -> Download:
        """Make a zip of the picture that the viewer names."""
        with user_facing_errors():
            entry = history.get(event.name)
            style, scale = heatmap_style(getattr(event, "style", None)), token_scale(event.scale)
            zipped = entry.zipped(map_kind(event.kind), style, scale, report_texts(getattr(event, "locale", None)))
            return download(zipped, f"mm-diff-{entry.picture.seed}.zip")

    def _write(self, history: History, event: gr.EventData) -> Download:
        """Make a file of the maps of an inspected prompt, of the picture that the viewer names."""
        with user_facing_errors():
            texts = report_texts(getattr(event, "locale", None))
            return download(*history.get(event.name).token_file(str(event.suffix), token_scale(event.scale), texts))

    def _animate(self, history: History, event: gr.EventData) -> Download:
        """Make an animation of the picture that the viewer names."""
        with user_facing_errors():
            entry, file_format = history.get(event.name), animation_format(event.format)
            animation = entry.animation(map_kind(event.kind), file_format, heatmap_style(getattr(event, "style", None)))
            return download(animation, f"mm-diff-{entry.picture.seed}.{file_format}")

    def _reuse(self, values: Mapping[Any, Any], event: gr.EventData) -> Update:
        """Put the photos and settings of a picture of the history back into the fields."""
        with user_facing_errors():
            entry = values[self.history].get(event.name)
        return self.form.replaced(values, self.form.restore(entry.record))

    def _use_as_photo(self, values: Mapping[Any, Any], event: gr.EventData) -> Update:
        """Add a picture of the history to the photos of a card."""
        with user_facing_errors():
            picture = values[self.history].get(event.name).claimed_file()
            return self.form.compose.add_photo(values, picture["path"])

    def _start_from(self, values: Mapping[Any, Any], event: gr.EventData) -> Update:
        """Let the next picture start from one of the history."""
        with user_facing_errors():
            picture = values[self.history].get(event.name).claimed_file()
            start = StartPicture(picture["path"], values[self.form.start.strength])
        return self.form.compose.undo.keep(values, self.form.start.show(start), "undo_start", always=True)

    def _advise(self, values: Mapping[Any, Any], event: gr.EventData) -> Update:
        """Put advice, and the picture's seed, into the fields, for the person to generate with."""
        change = event.change if isinstance(event.change, dict) else {}
        strengths = change.get("strengths")
        if isinstance(strengths, dict):  # JSON's keys are text
            cards = {str(card.slot): card.slot for card in self.form.compose.cards}
            change = change | {"strengths": {cards[slot]: given for slot, given in strengths.items() if slot in cards}}
        advised = {key: change[key] for key in ("start_step", "strengths") if key in change}
        return self.form.replaced(values, self.form.restore(advised | {"seed": event.seed}))

    def _restore(self, values: Mapping[Any, Any]) -> Update:
        """Put settings of a saved picture, and photos where it brings them, into the fields, and show the picture."""
        with user_facing_errors():
            saved = open_saved(values[self.open])
        record, service = saved.record, self.form.service
        model = service.backbone.display_name
        said = saved.message(self.form.refused(record), model)
        shown: Update = {}
        if saved.file:
            value = opened_value(saved, values[self.history], service.origin, model)
            shown = {self.viewer: gr.HTML(value=value)}
        return self.form.replaced(values, self.form.restore(record), said=said) | shown
