"""The picture to start from, as programs send it: over a real server, and what is said where it is wrong."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.helpers.stand_in import StandIn


@pytest.fixture
def start(tmp_path: Path) -> str:
    path = tmp_path / "start.png"
    Image.new("RGB", (40, 30), "teal").save(path)
    return str(path)


def _inside(path: str) -> str:
    return "data:image/png;base64," + base64.b64encode(Path(path).read_bytes()).decode()


def _ask(client: Client, photo: str, endpoint: str = "generate", **given: Any) -> Any:
    cat = {"name": "cat", "photos": [handle_file(photo)]}
    return client.predict(prompt="a cat", subjects=[cat], **given, api_name=f"/{endpoint}")


@pytest.mark.parametrize("endpoint", ["generate", "attention"])
@pytest.mark.parametrize("as_sent", [handle_file, _inside], ids=["a file", "inside the call"])
def test_a_picture_starts_from_what_a_program_sends(
    client: Client, model: StandIn, photo: str, start: str, endpoint: str, as_sent: Any
) -> None:
    answer = _ask(client, photo, endpoint, image=as_sent(start), image_strength=0.3)
    settings = (answer[0] if endpoint == "generate" else answer)["settings"]
    assert settings["image_strength"] == 0.3
    image = model.asked[-1].image
    assert image is not None
    assert (image.size, image.getpixel((0, 0))) == ((40, 30), (0, 128, 128))


def test_without_a_strength_it_is_the_usual_one(client: Client, model: StandIn, photo: str, start: str) -> None:
    assert _ask(client, photo, image=handle_file(start))[0]["settings"]["image_strength"] == 0.6
    _ask(client, photo)
    assert model.asked[-1].image is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image": "/etc/hostname"}, "The picture to start from is not an uploaded file"),
        ({"image": {"path": "/etc/hostname"}}, "The picture to start from is not an uploaded file"),
        ({"image": 7}, "The picture to start from is not an uploaded file"),
        ({"image": "data:image/png;base64,no!"}, "The picture to start from cannot be read from its data URL"),
        ({"image": "data:image/png;base64,bm8="}, "is not a picture that can be read"),
        ({"image_strength": 0.5}, 'give "image", too'),
        ({"image_strength": "much"}, '"image_strength" must be a number, or null'),
    ],
)
@pytest.mark.parametrize("endpoint", ["generate", "attention"])
def test_what_is_wrong_is_one_sentence(
    client: Client, model: StandIn, photo: str, endpoint: str, given: dict[str, Any], says: str
) -> None:
    before = len(model.asked)
    with pytest.raises(AppError, match=says) as raised:
        _ask(client, photo, endpoint, **given)
    assert "Traceback" not in str(raised.value)
    assert len(model.asked) == before


def test_no_program_has_to_send_one(client: Client) -> None:
    endpoints = httpx.get(f"{client.src}gradio_api/info", trust_env=False).json()["named_endpoints"]
    for name in ("/generate", "/attention", "/inspect"):
        parameters = {each["parameter_name"]: each for each in endpoints[name]["parameters"]}
        assert parameters["image"]["parameter_has_default"]
        assert parameters["image_strength"]["parameter_has_default"]
