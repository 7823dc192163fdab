from __future__ import annotations

import base64
import json

import numpy as np
from PIL import Image

from demo.viewer import Album, pack_map, pack_step
from mmdiff_core.heatmap import colour_of
from mmdiff_core.types import GenerateRequest, Step, Subject
from tests.demo.stand_in import StandIn

PHOTO = Image.new("RGB", (8, 8))


def _run(pictures: int = 1, **numbers: int) -> tuple[StandIn, Album, list[Step]]:
    model = StandIn()
    subjects = (Subject("cat", (PHOTO,)), Subject("robot", (PHOTO,)))
    request = GenerateRequest("a cat and a robot", subjects, seeds=tuple(range(5, 5 + pictures)), **numbers)
    plan = model.validate(request)
    return model, Album(plan.prompt, plan.words, slots=(0, 3)), list(model.generate(request))


def test_a_packed_map_keeps_its_values_to_a_255th_of_its_range() -> None:
    values = np.random.default_rng(0).uniform(0.1, 0.9, (5, 7)).astype(np.float32)
    packed = pack_map(values)
    data = np.frombuffer(base64.b64decode(packed["data"]), np.uint8).reshape(packed["h"], packed["w"])
    again = packed["lo"] + data * (packed["hi"] - packed["lo"]) / 255
    assert np.abs(again - values).max() <= (packed["hi"] - packed["lo"]) / 255


def test_a_flat_map_can_be_packed() -> None:
    packed = pack_map(np.ones((2, 3), np.float32))
    assert (packed["lo"], packed["hi"]) == (1, 1)
    assert base64.b64decode(packed["data"]) == bytes(6)


def test_a_delayed_step_has_no_image_map() -> None:
    _, _, steps = _run(start_step=2)
    maps = steps[-1].maps
    assert maps is not None
    assert set(pack_step(maps, 1)) == {"text"}
    assert set(pack_step(maps, 2)) == {"text", "image", "influence"}
    assert len(pack_step(maps, 2)["image"]) == 2


def test_every_step_shows_preview_progress_and_its_newest_map() -> None:
    _, album, steps = _run(steps=4)
    live = album.add(steps[0]).props["live"]
    assert live["image"].startswith("data:image/jpeg;base64,")
    assert live["progress"]["done"] == 0.25
    assert "step 1 of 4" in live["progress"]["text"]
    assert len(live["maps"]) == 1
    assert len(album.add(steps[1]).props["live"]["maps"]) == 1
    assert [subject["colour"] for subject in live["subjects"]] == [colour_of(0), colour_of(3)]


def test_finished_pictures_gather_while_the_next_is_made() -> None:
    _, album, steps = _run(pictures=2, steps=3)
    updates = [album.add(step) for step in steps]
    assert len(updates[2].value["pictures"]) == 1
    assert updates[2].props["live"] is not None
    assert updates[3].value is None  # only what changes is sent
    assert "Picture 2 of 2" in updates[3].props["live"]["progress"]["text"]
    assert updates[-1].props["live"] is None
    first, second = updates[-1].value["pictures"]
    assert [len(first["maps"]), len(second["maps"])] == [3, 3]
    assert first["facts"].startswith("Seed 5 ")
    assert second["file"] == "mm-diff-6.png"


def test_the_file_carries_its_settings() -> None:
    _, album, steps = _run(steps=2)
    shot = [album.add(step) for step in steps][-1].value["pictures"][0]
    with Image.open(shot["image"]["path"]) as picture:
        settings = json.loads(picture.info["mmdiff"])
    assert settings["seed"] == 5
    assert settings["prompt"] == "a cat and a robot"
