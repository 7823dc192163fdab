"""A prompt without photos over the API, with a tiny but real model."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from demo.server.limits import local_limits
from demo.server.service import Service
from tests.helpers import tiny
from tests.helpers.stand_in import served


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    model = tiny.personalizer("sd", tmp_path_factory.mktemp("sd"), with_adapter=False)
    with served(Service(model, local_limits())) as url:
        yield Client(url, verbose=False)


def _inspect(client: Client, **given: object) -> dict:
    return client.predict(
        **({"prompt": "a cat on sand", "steps": 2, "width": 32, "height": 32} | given), api_name="/inspect"
    )


def test_every_word_and_concept_has_its_map(client: Client) -> None:
    answer = _inspect(client, concepts=["dog"], seed=5)
    assert (answer["seed"], answer["dropped"]) == (5, "")
    assert list(answer["maps"]) == [*("a", "cat", "on", "sand", "dog", "<start>", "<end>", "<padding>", "<rest>")]
    cat = answer["maps"]["cat"]
    assert len(base64.b64decode(cat["data"])) == cat["h"] * cat["w"]
    assert 0 <= cat["lo"] < cat["hi"] <= 1


def test_words_and_scale_are_chosen(client: Client) -> None:
    answer = _inspect(client, words=["cat", "<start>"], scale="z")
    assert list(answer["maps"]) == ["cat", "<start>"]
    assert answer["maps"]["cat"]["lo"] < 0 < answer["maps"]["cat"]["hi"]


def test_it_may_start_from_a_picture(client: Client, photo: str) -> None:
    plain, started, again = (
        _inspect(client, **given) for given in ({}, *[{"image": handle_file(photo), "image_strength": 0.5}] * 2)
    )
    assert started["settings"]["image_strength"] == 0.5
    assert started["maps"]["cat"] == again["maps"]["cat"] != plain["maps"]["cat"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"prompt": " "}, "The prompt is empty"),
        ({"words": ["robot"]}, '"robot" is not in the prompt'),
        ({"concepts": ["!"]}, "has no word"),
        ({"concepts": [f"word{n}" for n in range(9)]}, '"word8" is one further word too many'),
        ({"scale": "loud"}, "The scale must be one of share"),
        ({"words": "cat"}, '"words" must be a list of names'),
        ({"image_strength": 0.5}, 'give "image", too'),
        ({"image": "cat.png"}, "The picture to start from is not an uploaded file"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(client: Client, given: dict, says: str) -> None:
    with pytest.raises(AppError, match=says):
        _inspect(client, **given)
