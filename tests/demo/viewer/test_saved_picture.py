from __future__ import annotations

import json
import re
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from demo.form.form import Form, Settings, StartPicture, SubjectForm
from demo.form.share_link import toy_photos
from demo.viewer.frames import FinishedFrame, opened_frame
from demo.viewer.history import History, HistoryEntry
from demo.viewer.saved_picture import (
    AVERAGED,
    COMPARED,
    MAX_SETTINGS,
    PAINTED,
    SavedPicture,
    are_settings,
    open_saved,
    restorable,
    restore_message,
)
from demo.viewer.viewer import RunPresenter, finished_frame, opened_value
from demo.web.cached_files import MAPS_CHUNK, TOYS_CHUNK
from mmdiff_core.errors import PhotoError
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.output.export import png_info
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import Recording
from tests.helpers import tiny
from tests.mmdiff_core.output.conftest import SETTINGS


def test_what_is_said_of_a_saved_picture() -> None:
    settings = {"model": "/models/sd", "subjects": [{"name": "cat", "region": [0, 0, 1, 1]}]}
    lacking = "The fields now hold this picture's prompt and settings, but its photos are not in the file: add those "
    assert restore_message(settings, ["steps 150"], "toybox") == (
        f"{lacking}that are missing. Not taken over: steps 150, regions. The picture is of another model, “sd”; here "
        "“toybox” is loaded."
    )
    assert restore_message({"model": "toybox", "subjects": []}, [], "toybox") == (
        "This picture has no subjects; the fields now hold its prompt and settings."
    )


def test_a_forged_picture_brings_no_path() -> None:
    record = restorable(
        {"prompt": "a cat", "strengths": {0: 9}, "subjects": [{"name": "cat", "photos": ["/etc/hosts"]}]}
    )
    assert record == {"prompt": "a cat", "subjects": [{"name": "cat", "strength": None, "photos": 0}]}
    assert restorable({"subjects": "cat"}) == {}


def _zip(path: Path, settings: object, photos: int, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("settings.json", json.dumps(settings))
        for number in range(photos, 0, -1):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path.with_name("one.png"))
            packed.write(path.with_name("one.png"), f"photos/{number}-tom.png")
        Image.new("RGB", (24, 16)).save(path.with_name("one.png"), pnginfo=png_info(SETTINGS))
        packed.write(path.with_name("one.png"), "mm-diff-3.png")
        for name, data in more.items():
            packed.writestr(name, data)
    return path


def test_a_zip_brings_each_subject_its_photos(tmp_path: Path) -> None:
    """They count through all subjects: the tenth comes after the ninth."""
    subjects = [{"name": "cat", "strength": 1.0, "photos": 9}, {"name": "dog", "strength": 1.0, "photos": 2}]
    saved = open_saved(str(_zip(tmp_path / "all.zip", {**SETTINGS, "subjects": subjects}, 11)))
    reds = [[Image.open(photo).getpixel((0, 0))[0] for photo in own] for own in saved.photos]
    assert reds == [list(range(1, 10)), [10, 11]]
    assert saved.file is not None
    assert (saved.file["orig_name"], saved.file["mime_type"]) == ("mm-diff-3.png", "image/png")
    assert saved.settings["seed"] == SETTINGS["seed"]


@pytest.mark.parametrize(
    "settings", [["no", "record"], {"prompt": "x" * MAX_SETTINGS}, None], ids=["a list", "too large", "missing"]
)
def test_another_zip_is_refused_by_its_name(tmp_path: Path, settings: object) -> None:
    path = _zip(tmp_path / "other.zip", settings, 1)
    if settings is None:
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("../../etc/settings.json", "{}")
    with pytest.raises(PhotoError, match=r"other\.zip.*Save everything") as raised:
        open_saved(str(path))
    assert str(tmp_path) not in str(raised.value)


def test_what_a_zip_claims_about_its_photos_is_not_believed(tmp_path: Path) -> None:
    subjects = [{"name": "cat", "photos": ["/etc/passwd"]}, "dog", {"name": "owl", "photos": 99}]
    saved = open_saved(str(_zip(tmp_path / "forged.zip", {**SETTINGS, "subjects": subjects}, 2)))
    assert [len(own) for own in saved.photos] == [0, 0, 2]


def test_no_field_is_given_a_sign_that_it_shows_as_a_box() -> None:
    record = restorable({"prompt": "a\0 cat\x1b", "subjects": [{"name": "c\x00at", "strength": 1}]})
    assert (record["prompt"], record["subjects"][0]["name"]) == ("a cat", "cat")


# ---------------------------------------------------------------- the way there and back, on a tiny model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Personalizer:
    return Personalizer.load(tiny.save_toybox(tmp_path_factory.mktemp("toybox")))


def _entry(model: Personalizer, form: Form) -> HistoryEntry:
    """What the history keeps of a run."""
    history = History()
    request = form.request()
    if form.inspected:
        plan, tokens = model.plan(request), TokenRecording(concepts=form.concepts, per_head=True)
        steps = model.run_inspected(plan, tokens)
    else:
        plan = model.plan(replace(request, recording=Recording(words=True, per_head=True)))
        steps = model.run(plan)
    presenter = RunPresenter(plan.prompt, plan.words, form, history, model.origin)
    for step in steps:
        presenter.take(step)
    (entry,) = history.entries.values()
    return entry


def _photo(tmp_path: Path, name: str) -> str:
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(tmp_path / name)
    return str(tmp_path / name)


@pytest.fixture
def forms(tmp_path: Path) -> dict[str, Form]:
    settings = Settings(seed=7, steps=3, start_step=1, guidance=2.5, sampler="unipc", negative_prompt="dark")
    subjects = (
        SubjectForm(0, "cat", (_photo(tmp_path, "one.png"), _photo(tmp_path, "two.png")), 0.8),
        SubjectForm(1, "robot", (_photo(tmp_path, "three.png"),)),
    )
    start = StartPicture(_photo(tmp_path, "start.png"), 0.7)
    pair = "a cat next to a robot"
    return {
        "photos": Form(pair, subjects, settings),
        "from a picture": Form(pair, subjects, settings, start=start),
        "a prompt": Form("a (red:1.2) cat, on snow", (), settings, inspected=True, concepts=("dog", "red hat")),
        "a prompt from a picture": Form("a cat", (), settings, start=start, inspected=True),
    }


def _opened(model: Personalizer, path: Path) -> tuple[SavedPicture, FinishedFrame, History]:
    saved, history = open_saved(str(path)), History()
    value = opened_value(saved, history, model.origin, model.backbone.display_name)
    return saved, value["pictures"][0], history


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["photos", "from a picture", "a prompt", "a prompt from a picture"])
def test_a_zip_brings_all_back(model: Personalizer, forms: dict[str, Form], mode: str, tmp_path: Path) -> None:
    entry = _entry(model, forms[mode])
    before = finished_frame("before", entry)
    (tmp_path / "all.zip").write_bytes(entry.zipped("image"))
    saved, frame, history = _opened(model, tmp_path / "all.zip")
    assert saved.complete
    assert "foreign" not in frame
    assert frame["maps"] == before["maps"]
    assert frame.get("tokens") == before.get("tokens")
    for part in ("subjects", "sentence", "leakage", "facts", "caption", "strip"):
        assert frame[part] == before[part], part
    (again,) = history.entries.values()
    assert again.picture.image.tobytes() == entry.picture.image.tobytes()
    numbered = re.compile(r"photos/(\d+|start)-[\w-]+\.png")  # the zip's names begin with their numbers once more
    for ours, theirs in ((frame["python"], before["python"]), (frame["shell"], before["shell"])):
        assert numbered.sub(r"\1", ours) == numbered.sub(r"\1", theirs)
    restored, wanted = saved.record, entry.record
    pixels = [_pixels(record) for record in (restored, wanted)]
    assert pixels[0] == pixels[1]
    assert restored["concepts"] == wanted["concepts"] if forms[mode].inspected else "concepts" not in restored
    assert {**restored, "lacks_start": 0} == {**wanted, "lacks_start": 0}
    (tmp_path / "again.zip").write_bytes(again.zipped("image"))
    assert open_saved(str(tmp_path / "again.zip")).complete


def _pixels(record: dict[str, Any]) -> list[list[bytes]]:
    """What the photos of a record show, in place of their paths, which differ."""
    shown = []
    for owner in (*record["subjects"], record):
        key = "start" if owner is record else "photos"
        shown.append([Image.open(path).tobytes() for path in owner[key]])
        owner[key] = len(owner[key])
    return shown


@pytest.mark.slow
def test_a_picture_alone_brings_the_maps_as_means(model: Personalizer, forms: dict[str, Form]) -> None:
    entry = _entry(model, forms["a prompt"])
    assert entry.file is not None
    saved, frame, history = _opened(model, Path(entry.file["path"]))
    assert (saved.complete, saved.record["concepts"]) == (True, "dog, red hat")
    assert saved.message((), model.backbone.display_name).endswith(AVERAGED)
    assert [part["name"] for part in frame["tokens"]["parts"]] == [part["name"] for part in token_parts(entry)]
    (again,) = history.entries.values()
    assert entry.tokens is not None
    assert again.tokens is not None
    assert np.allclose(again.tokens.at("dog"), entry.tokens.at("dog"), atol=1e-3)
    assert shell_words(frame["shell"]) - {"--per-head"} == shell_words(entry.shell) - {"--per-head"}

    entry = _entry(model, forms["photos"])
    assert entry.file is not None
    saved, frame, history = _opened(model, Path(entry.file["path"]))
    assert frame["foreign"]  # its photos are lacking
    assert not history.entries
    assert [subject["name"] for subject in frame["subjects"]] == ["cat", "robot"]
    assert set(frame["maps"]["kinds"]) == {"text", "image", "influence", "words"}
    assert frame["sentence"] == finished_frame("x", entry)["sentence"]  # each word can be looked at
    other = replace(saved, settings={**saved.settings, "prompt": "a dog"})
    assert opened_frame("x", other)["sentence"] == [{"text": "a dog", "subject": None}]
    assert saved.message((), model.backbone.display_name).endswith(AVERAGED)


@pytest.mark.slow
def test_a_picture_alone_brings_its_toys(model: Personalizer, tmp_path: Path) -> None:
    toys, own = toy_photos("cat-1000005"), (_photo(tmp_path, "own.png"),)
    subjects = (SubjectForm(0, "cat", tuple(toys)), SubjectForm(1, "robot", own))
    start = StartPicture(_photo(tmp_path, "start.png"), 0.7)
    form = Form("a cat next to a robot", subjects, Settings(steps=2, seed=2**63 - 1), start=start)
    entry = _entry(model, form)
    assert entry.file is not None
    saved, frame, _ = _opened(model, Path(entry.file["path"]))
    assert [subject["photos"] for subject in saved.record["subjects"]] == [toys, 0]  # the second card keeps its own
    assert frame["foreign"]
    assert frame["facts"] == finished_frame("x", entry)["facts"]
    assert "photos are not in the file" in saved.message((), model.backbone.display_name)

    entry = _entry(model, Form("a cat", subjects[:1], Settings(steps=2)))
    assert entry.file is not None
    saved, frame, _ = _opened(model, Path(entry.file["path"]))
    assert saved.complete
    assert "foreign" not in frame
    assert "not in the file" not in saved.message((), model.backbone.display_name)


@pytest.mark.parametrize("toys", ["7", "[7]", '["cat-1", "cat-2"]', "[", '["zzz-1"]', '["../../etc"]'])
def test_forged_toys_bring_nothing(tmp_path: Path, toys: str) -> None:
    info = png_info({**SETTINGS, "subjects": [{"name": "cat", "strength": 1, "photos": 3}]})
    info.add_text(TOYS_CHUNK, toys)
    info.add_text(MAPS_CHUNK, "no maps")
    Image.new("RGB", (24, 16)).save(tmp_path / "forged.png", pnginfo=info)
    saved = open_saved(str(tmp_path / "forged.png"))
    assert (saved.record["subjects"][0]["photos"], saved.maps, saved.complete) == (0, None, False)


@pytest.mark.parametrize(("asked", "is_one"), [('{"mode": "mode-grid"}', True), ("[", False), ("[1]", False)])
def test_a_saved_grid_says_that_it_is_a_comparison(tmp_path: Path, asked: str, is_one: bool) -> None:
    info = png_info({**SETTINGS, "start_step": 0, "subjects": []})
    info.add_text("mmdiff-compare", asked)
    Image.new("RGB", (24, 16)).save(tmp_path / "grid.png", pnginfo=info)
    saved = open_saved(str(tmp_path / "grid.png"))
    assert (saved.comparison is not None, saved.complete) == (is_one, False)
    assert (COMPARED in saved.message((), "toybox")) == is_one


@pytest.mark.slow
def test_a_picture_that_shows_its_heatmap_brings_no_second_one(model: Personalizer, forms: dict[str, Form]) -> None:
    entry = _entry(model, forms["a prompt"])
    assert entry.file is not None
    for chunk, has_maps in (("Heatmap", False), ("Upscaled", True)):
        with Image.open(entry.file["path"]) as image:
            info = PngInfo()
            for name, text in {**image.info, chunk: "drawn"}.items():
                info.add_itxt(str(name), text)
            image.save(path := entry.file["path"].replace(".png", f"-{chunk}.png"), pnginfo=info)
        saved, frame, history = _opened(model, Path(path))
        assert (saved.maps is not None, saved.complete, frame["foreign"]) == (has_maps, False, True)
        assert not history.entries
        assert (PAINTED in saved.message((), "toybox")) == (frame.get("labels") is not None) == (chunk == "Heatmap")
        assert saved.record["prompt"] == entry.picture.settings["prompt"]  # in either case


def token_parts(entry: HistoryEntry) -> list[Any]:
    return finished_frame("x", entry)["tokens"]["parts"]


def shell_words(command: str) -> set[str]:
    return set(shlex.split(command.replace("\\\n", "")))


@pytest.mark.slow
def test_a_picture_of_another_model_or_with_forged_settings_gives_no_code(
    model: Personalizer, forms: dict[str, Form], tmp_path: Path
) -> None:
    entry = _entry(model, forms["a prompt"])
    (tmp_path / "all.zip").write_bytes(entry.zipped("image"))
    saved = open_saved(str(tmp_path / "all.zip"))
    frame = opened_value(saved, History(), model.origin, "another")["pictures"][0]
    assert (frame["foreign"], frame["shell"]) == (True, "")
    assert frame["tokens"]["count"] == 5
    evil = "0,)\nimport os"
    for change in ({"seed": evil}, {"steps": evil}, {"width": True}, {"guidance": float("nan")}, {"sampler": 3}):
        forged = replace(saved, settings={**saved.settings, **change})
        frame = opened_value(forged, History(), model.origin, model.backbone.display_name)["pictures"][0]
        assert (frame["foreign"], frame["python"]) == (True, "")


@pytest.mark.parametrize(
    "change",
    [
        {"subjects": [{"name": "cat", "strength": "1);import os", "photos": 0}]},
        {"subjects": [{"name": "cat", "strength": 1, "photos": 0, "faces": [["1", 1]]}]},
        {"subjects": [{"name": "cat", "strength": 1, "photos": 0, "region": [0, 0, 1, 1]}]},
        {"subjects": [{"name": "cat", "strength": 1}]},
        {"subjects": ["cat"]},
        {"image_strength": "much"},
        {"parts": ["refiner"]},
        {"balance_photos": "yes"},
        {"prompt": None},
    ],
    ids=str,
)
def test_settings_of_other_types_are_known(change: dict[str, Any]) -> None:
    settings = {**SETTINGS, "start_step": 0, "subjects": []}
    assert are_settings(settings)
    assert not are_settings(settings | change)
