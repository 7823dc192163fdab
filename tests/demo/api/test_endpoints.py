"""The endpoints as a program sees them, through a real server."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.helpers.stand_in import StandIn, served


def test_generate_returns_files_with_their_settings(client: Client, photo: str) -> None:
    cat = {"name": "cat", "photos": [handle_file(photo), handle_file(photo)], "strength": 0.8}
    pictures = client.predict(
        prompt="a cat", subjects=[cat], seed=3, pictures=2, width=192, height=128, api_name="/generate"
    )
    assert [picture["seed"] for picture in pictures] == [3, 4]
    with Image.open(pictures[0]["image"]) as image:
        assert image.size == (192, 128)
        assert json.loads(image.info["mmdiff"])["seed"] == 3


def test_attention_returns_the_maps_of_every_step(client: Client, photo: str) -> None:
    cat = {"name": "cat", "photos": [handle_file(photo)]}
    answer = client.predict(prompt="a cat", subjects=[cat], steps=3, start_step=1, api_name="/attention")
    assert answer["subjects"] == ["cat"]
    assert [set(step) for step in answer["maps"]] == [{"text"}, *[{"text", "image", "influence"}] * 2]


def test_models_tell_what_is_loaded_and_what_could_be(client: Client) -> None:
    answer = client.predict(api_name="/models")
    assert answer["loaded"]["name"] == "toybox"
    assert answer["loaded"]["defaults"]["steps"] == 6
    assert "cat" in answer["loaded"]["knows"]["nouns"]
    built_in = answer["available"][0]
    assert (built_in["name"], built_in["where"], built_in["present"]) == ("toybox", "built-in", True)
    assert all(model["present"] or model["how_to_get"] for model in answer["available"])


def test_photos_may_come_as_urls_of_this_server_and_inside_the_call(client: Client, photo: str) -> None:
    inside = "data:image/png;base64," + base64.b64encode(Path(photo).read_bytes()).decode()
    url = f"{client.src}gradio_api/file={_cached(client)}"
    cat = {"name": "cat", "photos": [inside, url]}
    pictures = client.predict(prompt="a cat", subjects=[cat], api_name="/generate")
    assert pictures[0]["settings"]["subjects"] == [{"name": "cat", "strength": 1.0, "photos": 2}]


def _cached(client: Client) -> str:
    """Where the server keeps a photo of a toy, as the URL in its answer tells."""
    call = httpx.post(f"{client.src}gradio_api/call/toy", json={"data": ["cat", 900_001, 1]})
    answer = httpx.get(f"{client.src}gradio_api/call/toy/{call.json()['event_id']}").text
    return json.loads(answer.split("data: ", 1)[1].splitlines()[0])[0][0]["path"]


def test_a_program_can_choose_the_sampler_and_switch_parts_off(client: Client, photo: str) -> None:
    cat = {"name": "cat", "photos": [handle_file(photo)]}
    asked = {"prompt": "a cat", "subjects": [cat], "api_name": "/generate"}
    pictures = client.predict(**asked, sampler="unipc", binding=0.5, without=["refiner"])
    settings = pictures[0]["settings"]
    assert (settings["sampler"], settings["binding"]) == ("unipc", 0.5)
    assert [part for part, on in settings["parts"].items() if not on] == ["refiner"]
    with pytest.raises(AppError, match='no part "magic"'):
        client.predict(**asked, without=["magic"])


def test_toy_returns_photos(client: Client) -> None:
    files = client.predict("robot", seed=900_001, views=2, api_name="/toy")
    assert len(files) == 2
    with Image.open(files[0]) as image:
        assert image.size == (256, 256)


@pytest.mark.parametrize(
    ("subjects", "says"),
    [
        ([], "no subject yet"),
        ([{"name": "dog", "photos": "photo"}], '"dog" is not in the prompt'),
        ([{"name": "cat", "photos": []}], "has no photo"),
        ([{"name": "cat", "photos": ["/etc/hostname"]}], "not an uploaded file"),
        ([{"name": "cat", "photos": [{"path": "/etc/hostname"}]}], "not an uploaded file"),
        ([{"name": "cat", "photos": ["http://example.org/cat.png"]}], "not an uploaded file"),
        ([{"name": "cat", "photos": ["http://here/gradio_api/file=/etc/hostname"]}], "no longer on the server"),
        ([{"name": "cat", "photos": ["data:image/png;base64,no!"]}], "cannot be read from its data URL"),
    ],
)
def test_faults_come_back_in_one_sentence(client: Client, photo: str, subjects: list[dict], says: str) -> None:
    for subject in subjects:
        if subject["photos"] == "photo":
            subject["photos"] = [handle_file(photo)]
    with pytest.raises(AppError, match=says):
        client.predict(prompt="a cat", subjects=subjects, api_name="/generate")


def test_a_file_of_the_server_is_never_read(client: Client) -> None:
    forged = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}
    body = {"data": ["a cat", [{"name": "cat", "photos": [forged]}]]}
    call = httpx.post(f"{client.src}gradio_api/call/generate", json=body)
    assert call.status_code == 400
    assert "upload it again" in call.json()["detail"]


def test_a_client_that_cancels_stops_the_model(photo: str) -> None:
    slow = StandIn(pause=0.2)
    with served(slow) as url:
        cat = {"name": "cat", "photos": [handle_file(photo)]}
        job = Client(url, verbose=False).submit(prompt="a cat", subjects=[cat], steps=50, api_name="/generate")
        deadline = time.monotonic() + 120
        while not job.outputs() and time.monotonic() < deadline:  # a job that has not begun cannot be cancelled
            time.sleep(0.05)
        job.cancel()
        while "cancelled" not in slow.log and time.monotonic() < deadline:
            time.sleep(0.05)
    assert slow.log == ["start (0,)", "cancelled"]


ODD = {
    "prompt": (3, None, ["a cat"]),
    "negative_prompt": (None, {}),
    "seed": ("x", [], True, 10**400),
    "steps": ("seven", [], {}, 2.5, True),
    "guidance": ("7", []),
    "width": ("200",),
    "sampler": (7, []),
    "binding": ("x", None),
    "without": ("refiner", [None]),
}


@pytest.mark.parametrize("endpoint", ["generate", "attention"])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_a_value_of_another_kind_is_refused_by_its_name(
    client: Client, photo: str, endpoint: str, name: str, value: object
) -> None:
    asked = {"prompt": "a cat", "subjects": [{"name": "cat", "photos": [handle_file(photo)]}]} | {name: value}
    with pytest.raises(AppError, match=f'"{name}" must be (text|a whole number|a number|a list of names)'):
        client.predict(**asked, api_name=f"/{endpoint}")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("views", "3", '"views" must be a whole number'),
        ("views", None, '"views" must be a whole number'),
        ("seed", "x", '"seed" must be a whole number'),
        ("seed", -1, "seed must be from 0"),
        ("noun", 7, '"noun" must be text'),
    ],
)
def test_toy_refuses_odd_values_too(client: Client, name: str, value: object, says: str) -> None:
    with pytest.raises(AppError, match=says):
        client.predict(**({"noun": "cat"} | {name: value}), api_name="/toy")
