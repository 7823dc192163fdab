from __future__ import annotations

import json

from PIL import Image

from demo.form.form import Form, SubjectForm
from demo.viewer.history import History
from demo.viewer.viewer import RunPresenter
from demo.words.word_notes import WordReader
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.results import Step
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.stand_in import StandIn

PHOTO = Image.new("RGB", (8, 8))


def _run(pictures: int = 1, **numbers: int) -> tuple[History, RunPresenter, list[Step]]:
    model, history = StandIn(), History()
    subjects = (Subject("cat", (PHOTO,)), Subject("robot", (PHOTO,)))
    request = GenerateRequest("a cat and a robot", subjects, seeds=tuple(range(5, 5 + pictures)), **numbers)
    plan = model.plan(request)
    form = Form("", (SubjectForm(0, "cat", ("/a/tom.png",)), SubjectForm(3, "robot", ("/b/rob.png", "/b/2.png"))))
    return history, RunPresenter(plan.prompt, plan.words, form, history), list(model.generate(request))


def test_every_step_shows_preview_progress_and_its_newest_map() -> None:
    _, presenter, steps = _run(steps=4)
    live = presenter.add(steps[0]).props["live"]
    assert live["image"].startswith("data:image/jpeg;base64,")
    assert live["progress"]["done"] == 0.25
    assert (live["progress"]["step"], live["progress"]["steps"], live["progress"]["pictures"]) == (1, 4, 1)
    assert live["caption"] == ("preview_at", {"n": 1})
    assert live["maps"]["steps"] == 1
    assert presenter.add(steps[1]).props["live"]["maps"]["kinds"]["image"][0]["steps"] == [0]
    assert [subject["colour"] for subject in live["subjects"]] == [colour_of(0), colour_of(3)]


def test_finished_pictures_gather_while_the_next_is_made() -> None:
    _, presenter, steps = _run(pictures=2, steps=3)
    updates = [presenter.add(step) for step in steps]
    assert len(updates[2].value["pictures"]) == 1
    assert updates[2].props["live"] is not None
    assert updates[3].value is None  # only what changes is sent
    progress = updates[3].props["live"]["progress"]
    assert (progress["picture"], progress["pictures"]) == (2, 2)
    assert updates[-1].props["live"] is None
    first, second = updates[-1].value["pictures"]
    assert [first["maps"]["steps"], second["maps"]["steps"]] == [3, 3]
    assert (first["facts"][0], first["facts"][1]["seed"], first["facts"][1]["steps"]) == ("picture_facts", "5", 3)
    assert second["file"] == "mm-diff-6.png"


def test_subjects_of_one_name_have_numbers_and_unknown_words_no_verdict() -> None:
    model, photos = StandIn(), (PHOTO,)
    request = GenerateRequest("a dragon and a Dragon", (Subject("dragon", photos), Subject("dragon", photos)), steps=2)
    plan = model.plan(request)
    form = Form("", (SubjectForm(0, "dragon", ("a.png",)), SubjectForm(1, "dragon", ("b.png",))))
    said = {}
    for reader in (None, WordReader(FIRST_WORLD)):
        presenter = RunPresenter(plan.prompt, plan.words, form, History(), reader=reader)
        frame = [presenter.add(step) for step in model.generate(request)][-1].value["pictures"][0]
        assert [subject["name"] for subject in frame["subjects"]] == ["dragon 1", "Dragon 2"]
        said[reader is None] = frame["leakage"]["image"]["advice"]["says"]
    assert [values.get("name") for _, values in said[True]] == [None, "dragon 1", "Dragon 2"]
    assert said[False] == [["advice_unknown", {"names": ["Dragon"]}]]


def test_the_file_carries_its_settings() -> None:
    _, presenter, steps = _run(steps=2)
    frame = [presenter.add(step) for step in steps][-1].value["pictures"][0]
    with Image.open(frame["image"]["path"]) as picture:
        settings = json.loads(picture.info["mmdiff"])
    assert settings["seed"] == 5
    assert settings["prompt"] == "a cat and a robot"


def test_a_finished_picture_brings_all_that_is_looked_at_without_the_server() -> None:
    history, presenter, steps = _run(steps=4, start_step=1)
    frame = [presenter.add(step) for step in steps][-1].value["pictures"][0]
    assert frame["strip"]["w"] == 32
    assert set(frame["leakage"]) == {"text", "image", "influence"}
    shares = frame["leakage"]["image"]["shares"]
    assert min(shares[0][0], shares[1][1]) > 0.5  # the stand-in's maps lie on their own discs
    assert "'photos/1-tom.png'" in frame["python"]
    assert "robot=photos/2-rob.png,photos/3-2.png" in frame["shell"]
    assert "/a/" not in frame["python"] + frame["shell"]
    assert len(json.dumps(frame)) < 200_000
    kept = history.get(frame["name"])
    assert (kept.slots, len(kept.previews)) == ((0, 3), 4)
