"""The endpoints as a program sees them, through a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.demo.stand_in import StandIn, served


@pytest.fixture(scope="module")
def model() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def client(model: StandIn) -> Iterator[Client]:
    with served(model) as url:
        yield Client(url, verbose=False)


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
