"""A real server with the stand-in of a model, and a program that asks it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gradio_client import Client

from tests.helpers.stand_in import StandIn, served


@pytest.fixture(scope="module")
def model() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def client(model: StandIn) -> Iterator[Client]:
    with served(model) as url:
        yield Client(url, verbose=False)
