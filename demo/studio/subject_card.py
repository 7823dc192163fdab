"""A subject's card: name, photos and how the model sees them, strength, and a button for a random toy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from demo.form.face_choices import FaceChoices, choices_for, choose_face, set_weight
from demo.form.form import SubjectForm
from demo.form.photo_picker import photo_picker
from demo.form.photos import GalleryValue, Photos, check_photos, prepared_html
from demo.form.sliders import slider
from demo.server.error_messages import user_facing_errors
from demo.server.photo_files import PhotoFiles
from demo.server.sessions import claim
from demo.studio.face_picker import FacePickerRecord, face_picker, face_picker_record
from demo.web.cached_files import photo_path
from demo.web.events import QUIET, WITH_MESSAGES, Update
from demo.web.i18n import text
from demo.web.static_files import scripts
from mmdiff_core.encoders.face import FaceAnalyser
from mmdiff_core.encoders.name_matching import without_blank_edges
from mmdiff_core.types import MAX_SCALE, FaceChoice


class SubjectCard:
    """One of the fixed cards; hidden cards keep their values.

    Args:
        slot: its place, from 0; it decides the colour.
        side: pixels a side of what the model's image encoder takes.
        faces: finds faces, where the adapter reads them; the card then has a face picker.
        photo_files: decoded photos.
    """

    def __init__(
        self,
        slot: int,
        side: int = 224,
        faces: FaceAnalyser | None = None,
        photo_files: PhotoFiles | None = None,
    ) -> None:
        self.slot = slot
        self.side = side
        self.faces = faces
        self.photo_files = PhotoFiles() if photo_files is None else photo_files

    def render(self, visible: bool) -> None:
        """Make the components inside the current layout."""
        number = self.slot + 1
        self.rejected = gr.State(())
        self.choices = gr.State({})
        with gr.Column(visible=visible, elem_classes="card", min_width=240) as self.column:
            with gr.Row(elem_classes="card-head"):
                gr.HTML(text(f"card_{self.slot}"), elem_classes="grow", apply_default_css=False)
                with gr.Row(elem_classes="card-tools"):
                    _quiet_button("draw", f"draw-{number}", "quiet")  # opens the cut-out dialog
                    self.random_toy = _quiet_button("new_toy", f"random-toy-{number}", "quiet random-toy")
                    self.remove = _quiet_button("remove", f"remove-{number}", "quiet")
            self.photos = photo_picker(f"photos-{number}", text(f"photos_{number}"))
            self.seen = gr.HTML(
                "",
                js_on_load=scripts("studio/subject_card"),
                elem_id=f"seen-{number}",
                elem_classes="seen",
                apply_default_css=False,
            )
            no_photos = face_picker_record((), {}, self.faces, self.photo_files) if self.faces else None
            self.face_picker = face_picker(no_photos, f"faces-{number}")
            self.name = gr.Textbox(
                label=text("name"),
                placeholder=text("name_like" if self.slot % 2 == 0 else "name_like_too"),
                max_lines=1,
                elem_id=f"name-{number}",
            )
            self.strength = slider(text("strength"), 1.0, 0, MAX_SCALE, 0.05, f"strength-{number}")

    def listen(self) -> None:
        """Check photos when they arrive, and show what the model sees of them."""
        checked = [self.photos, self.seen, self.rejected]
        self.photos.upload(self._check, self.photos, checked, trigger_mode="always_last", **WITH_MESSAGES)
        self.photos.delete(self._see, self.photos, self.seen, trigger_mode="always_last", **QUIET)
        self.photos.change(self._see, self.photos, self.seen, trigger_mode="always_last", **QUIET)
        self.seen.leave(None, self.photos, self.photos, js="(photos) => [photos]", **QUIET)  # the camera
        if self.faces is not None:
            both = [self.photos, self.choices]
            self.photos.change(self._find, both, self.face_picker, trigger_mode="always_last", **QUIET)
            self.face_picker.choose(self._choose, both, trigger_mode="multiple", **QUIET)  # one per photo
            self.face_picker.weigh(self._weigh, both, trigger_mode="multiple", **QUIET)

    @property
    def targets(self) -> tuple[Component, ...]:
        """The components that :meth:`fill` writes to."""
        return (*self.fields, self.seen)

    @property
    def fields(self) -> tuple[Component, ...]:
        """The components that a person fills in."""
        return (self.name, self.photos, self.strength, self.rejected, *([self.choices] if self.faces else []))

    def read(self, values: Mapping[Component, Any]) -> SubjectForm:
        """Read the card; ``values`` maps components to what they hold."""
        photos = tuple(path for path, _ in values[self.photos] or ())
        claim(*photos)
        name = without_blank_edges(values[self.name] or "")
        choices = choices_for(photos, values[self.choices] or {}) if self.faces else ()
        return SubjectForm(self.slot, name, photos, values[self.strength], tuple(values[self.rejected]), choices)

    def fill(
        self,
        name: str,
        photos: Photos | None,
        strength: float | None = 1.0,
        rejected: Sequence[str] = (),
        choices: Sequence[FaceChoice] = (),
    ) -> Update:
        """Put a subject into the card."""
        files = _files(photos) if photos else None
        seen = self._prepared(photos or ())
        update: Update = {self.name: name, self.photos: files, self.seen: seen, self.strength: strength}
        update |= {self.rejected: tuple(rejected)}
        if self.faces is not None:
            update |= {self.choices: {p: c for p, c in zip(photos or (), choices, strict=False) if isinstance(p, str)}}
        return update

    def show_photos(self, photos: Photos) -> Update:
        """Put photos into the card, and nothing else."""
        return {self.photos: _files(photos), self.seen: self._prepared(photos)}

    def show(self, visible: bool) -> Update:
        """Show or hide the card."""
        return {self.column: gr.update(visible=visible)}  # type: ignore[dict-item]

    def _find(self, photos: GalleryValue, choices: FaceChoices) -> FacePickerRecord:
        assert self.faces is not None
        return face_picker_record([path for path, _ in photos or ()], choices or {}, self.faces, self.photo_files)

    def _choose(self, event: gr.EventData, photos: GalleryValue, choices: FaceChoices) -> None:
        choose_face(choices, _path(photos, event.photo), event.face)

    def _weigh(self, event: gr.EventData, photos: GalleryValue, choices: FaceChoices) -> None:
        set_weight(choices, _path(photos, event.photo), event.weight)

    def _check(self, photos: GalleryValue) -> tuple[Any, str, tuple[str, ...]]:
        """Write the gallery only where it changes: meanwhile more photos may have been dropped there."""
        with user_facing_errors():
            kept, rejected = check_photos(photos, self.photo_files)
        unchanged = kept == [path for path, _ in photos or ()]
        return gr.skip() if unchanged else kept, self._prepared(kept), rejected

    def _see(self, photos: GalleryValue) -> str:
        return self._prepared([path for path, _ in photos or ()])

    def _prepared(self, photos: Photos) -> str:
        shown = prepared_html(photos, self.side, self.photo_files, self.slot)
        return f'<p class="seen-strip"><span>{text("seen")}</span>{shown}</p>' if shown else ""


def _files(photos: Photos) -> list[str]:
    with user_facing_errors():
        return [photo if isinstance(photo, str) else photo_path(photo) for photo in photos]


def _path(photos: GalleryValue, number: object) -> str:
    """The photo that was clicked; empty where it is no longer there."""
    shown = photos or ()
    return shown[number][0] if isinstance(number, int) and 0 <= number < len(shown) else ""


def _quiet_button(key: str, elem_id: str, classes: str) -> gr.Button:
    return gr.Button(text(key), size="sm", min_width=0, elem_id=elem_id, elem_classes=classes)
