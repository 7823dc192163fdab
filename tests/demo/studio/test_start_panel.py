"""A picture to start from: from its field to the request, what is kept of it, and what is said where it is lacking."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from demo.form.form import StartPicture
from demo.form.share_link import read_link
from demo.studio.generate import GenerationRunner
from demo.studio.start_panel import LACKING
from demo.viewer.history import HistoryEntry
from demo.viewer.saved_picture import NO_START, open_saved
from demo.web.cached_files import photo_path
from tests.helpers.stand_in import Values


@pytest.fixture
def start() -> str:
    return photo_path(Image.new("RGB", (80, 60), "teal"))


@pytest.fixture
def started(generation: GenerationRunner, values: Values, start: str) -> Values:
    panel = generation.form.start
    return values | {panel.picture: [(start, None)], panel.strength: 0.4}


@pytest.fixture
def entry(generation: GenerationRunner, started: Values) -> HistoryEntry:
    """What the history keeps of a run with it."""
    (checked,) = generation.check(started)
    history = started[generation.result.history]
    list(generation.run(checked[generation.actions.planned], history))
    (entry,) = history.entries.values()
    return entry


def test_a_request_starts_from_the_picture(generation: GenerationRunner, values: Values, started: Values) -> None:
    form = generation.form.read(started)
    request = form.request()
    assert request.image is not None
    assert (request.image.size, request.image_strength) == ((80, 60), 0.4)
    plain = generation.form.read(values)
    assert (plain.start, plain.request().image) == (None, None)
    assert form.fingerprint != plain.fingerprint
    assert replace(form, start=None).fingerprint == plain.fingerprint


@pytest.mark.parametrize("strength", [None, 0, 1.5])
def test_a_strength_that_cannot_be_is_said_beside_its_field(
    generation: GenerationRunner, started: Values, strength: float | None
) -> None:
    form = generation.form
    plan, errors = form.plan(form.read(started | {form.start.strength: strength}))
    assert plan is None
    assert [error.place for error in errors] == ["image-strength"]


def test_what_is_no_picture_is_left_out_and_of_several_the_last_counts(
    generation: GenerationRunner, values: Values, start: str, photo: str, tmp_path: Path
) -> None:
    panel = generation.form.start
    torn = tmp_path / "torn.png"
    torn.write_bytes(b"nothing")
    kept, rejected = panel._check([(start, None), (photo, None), (str(torn), None)])
    assert kept == [photo]
    assert rejected[0].startswith('Left out: "torn.png" is not a picture')
    noted = generation.form._review(values | {panel.rejected: rejected})[generation.form.errors]["errors"]
    assert [(note["place"], note["severity"]) for note in noted if "torn" in note["text"]] == [("photos-start", "note")]


def test_the_browser_s_draft_brings_it_back(generation: GenerationRunner, start: str) -> None:
    panel = generation.form.start
    update = generation.form._recall({"photos-start": [start], "image_strength": 0.3})
    assert (update[panel.picture], update[panel.strength], update[panel.rejected]) == ([start], 0.3, ())
    lost = generation.form._recall({"photos-start": ["/etc/hostname"]})
    assert (lost[panel.picture], lost[panel.rejected]) == (
        None,
        ("1 photo is no longer on the server: drop it again.",),
    )
    assert panel.picture not in generation.form._recall({"prompt": "a cat"})


def test_settings_code_and_zip_have_it(generation: GenerationRunner, entry: HistoryEntry, start: str) -> None:
    assert entry.picture.settings["image_strength"] == 0.4
    assert entry.record["start"] == [start]
    assert "image=load_photo('photos/start-photo.png'),\n    image_strength=0.4," in entry.python
    assert "--image photos/start-photo.png" in entry.shell
    assert "--image-strength 0.4" in entry.shell
    zipped = entry.zipped("text")
    with zipfile.ZipFile(BytesIO(zipped)) as packed:
        assert packed.read("photos/start-photo.png") == Path(start).read_bytes()
    update = generation.form.restore(entry.record)
    assert update[generation.form.start.picture] == [start]


def test_a_zip_brings_it_and_a_picture_says_that_it_is_lacking(entry: HistoryEntry, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(entry.zipped("text"))
    opened = open_saved(str(tmp_path / "all.zip"))
    assert Path(opened.record["start"][0]).name == "start-photo.png"
    assert NO_START not in opened.message((), "stand-in")
    alone = open_saved(entry.claimed_file()["path"])
    assert (alone.record["start"], alone.record["image_strength"]) == ([], 0.4)
    assert alone.message((), "stand-in").endswith(NO_START)


def test_a_link_says_that_it_is_not_in_it(entry: HistoryEntry) -> None:
    assert entry.link is not None
    assert entry.link["start"]
    link = read_link(entry.link["query"])
    assert link is not None
    assert (link.record["start"], link.record["image_strength"]) == ([], 0.4)
    assert "It starts from a picture that is not in the link: add it." in link.messages((), "stand-in")


def test_the_next_picture_starts_from_one_of_the_history(
    generation: GenerationRunner, values: Values, entry: HistoryEntry
) -> None:
    form, history = generation.form, values[generation.result.history]
    generation.result.form = form
    history.add("made", entry)
    own = values | {form.compose.undo.stack: ()}
    update = generation.result._start_from(own, gr.EventData(None, {"name": "made"}))
    assert update[form.start.picture] == [entry.claimed_file()["path"]]
    assert update[form.start.group]["open"]
    undone = form.compose.before(values | {form.compose.undo.stack: update[form.compose.undo.stack]}, form.fields)
    assert not undone[form.start.picture]


def test_a_form_shows_it_again(generation: GenerationRunner, started: Values, values: Values, start: str) -> None:
    form = generation.form
    assert form.show(form.read(started), 3)[form.start.picture] == [start]
    assert form.show(form.read(values), 3)[form.start.picture] is None
    assert form.start.show(StartPicture(start))[form.start.strength] == 0.6


@pytest.mark.parametrize("strength", ["NaN", "inf", 7, -1])
def test_a_strength_that_no_field_can_hold_is_named(generation: GenerationRunner, strength: object) -> None:
    form = generation.form
    assert form.refused({"image_strength": strength}) == [f"image strength {strength}"]
    assert form.start.strength not in form.restore({"image_strength": strength})


def test_the_field_says_that_its_picture_did_not_come(generation: GenerationRunner, start: str) -> None:
    form, link = generation.form, read_link("?prompt=a+cat&image_strength=0.4")
    assert link is not None
    restored = form.restore(link.record)
    assert restored[form.start.rejected] == (LACKING,)
    assert restored[form.start.group]["open"] is True
    assert form.restore({"start": [], "image_strength": 0.4})[form.start.rejected] == ()  # a draft
    assert form.restore(link.record | {"start": [start]})[form.start.rejected] == ()
