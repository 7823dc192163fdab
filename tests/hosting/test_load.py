"""Many visitors, one worker: order, Stop, closed tabs, and memory over many pictures."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.page import build_ui, launch_options
from demo.server.limits import local_limits
from demo.server.service import Service
from demo.server.sessions import Page, swept_regularly
from tests.helpers.stand_in import StandIn, served_page
from tests.hosting import requests, uploads
from tests.hosting.host import running, until
from tests.hosting.test_visitors import Visitor

pytestmark = pytest.mark.slow

VISITORS = 50
PLACES = 40


@pytest.fixture(scope="module")
def model() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def page(model: StandIn) -> Page:
    return build_ui(Service(model, replace(local_limits(), queue=PLACES)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def url(page: Page) -> Iterator[str]:
    with served_page(page) as url:
        yield url.rstrip("/")


@pytest.fixture
def photo(url: str) -> dict[str, Any]:
    with httpx.Client(base_url=url, timeout=120) as client:
        return Visitor(client).photo("cat.png", uploads.encoded(uploads.picture(), "PNG"))


class Tab:
    """A visitor's browser tab: a session with its line, its request and its stream of news."""

    def __init__(self, url: str, number: int) -> None:
        self.session = f"tab-{number}-{time.monotonic_ns()}"
        self.client = httpx.Client(base_url=url, timeout=httpx.Timeout(120, pool=None))
        self.number = number
        self.lines: list[socket.socket] = []

    def open_line(self) -> None:
        """What tells the server that the tab is open, until :meth:`close`."""
        self.lines.append(self._stream(f"/gradio_api/heartbeat/{self.session}"))

    def open_news(self) -> None:
        """Follow what becomes of its request, from the first message on."""
        self.lines.append(self._stream(f"/gradio_api/queue/data?session_hash={self.session}"))
        heard = b""
        while b"data:" not in heard:
            heard += self.lines[-1].recv(4096)

    def close(self) -> None:
        """As a browser does it: without a word."""
        for line in self.lines:
            line.close()

    def _stream(self, path: str) -> socket.socket:
        address = httpx.URL(str(self.client.base_url))
        line = socket.create_connection((address.host, address.port), timeout=60)
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return line

    def join(self, fn_index: int, photo: dict[str, Any], **changes: Any) -> httpx.Response:
        asked = requests.GOOD | {"subjects": [{"name": "cat", "photos": [photo]}], "seed": self.number} | changes
        data = [asked.get(name) for name in requests.NAMES]
        body = {"data": data, "fn_index": fn_index, "session_hash": self.session}
        return self.client.post("/gradio_api/queue/join", json=body)

    def news(self) -> Iterator[dict[str, Any]]:
        """Messages as they come, to the end of the request."""
        with self.client.stream("GET", f"/gradio_api/queue/data?session_hash={self.session}") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    message = json.loads(line.removeprefix("data: "))
                    yield message
                    if message["msg"] in ("process_completed", "close_stream"):
                        return


def number_of_generate(url: str) -> int:
    config = httpx.get(f"{url}/config").json()
    return next(each["id"] for each in config["dependencies"] if each["api_name"] == "generate")


def test_fifty_visitors_are_served_in_order_or_told_that_the_queue_is_full(
    url: str, model: StandIn, photo: dict[str, Any], figure: Callable[[str], None]
) -> None:
    generate, tabs = number_of_generate(url), [Tab(url, number) for number in range(VISITORS)]
    model.log.clear()
    with model.held(1, 1):
        answers = [tabs[0].join(generate, photo)]
        until(lambda: model.log)
        answers += [tab.join(generate, photo) for tab in tabs[1:]]
    in_time = [tab for tab, answer in zip(tabs, answers, strict=True) if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(in_time) == PLACES + 1  # one has the model already
    assert {answer.status_code for answer in refused} == {503}
    assert all("full" in answer.json()["detail"].lower() for answer in refused)
    with ThreadPoolExecutor(VISITORS) as many:
        ends = list(many.map(lambda tab: list(tab.news())[-1], in_time))
    assert [end["success"] for end in ends] == [True] * len(in_time)
    assert [end["output"]["data"][0][0]["seed"] for end in ends] == [tab.number for tab in in_time]
    assert model.log == [line for tab in in_time for line in (f"start ({tab.number},)", "finished")]
    figure(f"{VISITORS} visitors, {PLACES} places: {len(in_time)} served in order, {len(refused)} told that it is full")


def test_a_closed_tab_frees_its_place_within_a_step(
    url: str, page: Page, model: StandIn, photo: dict[str, Any]
) -> None:
    """It waits in the middle of a step; the next visitor begins as soon as that step is done."""
    generate, (leaving, waiting, last) = number_of_generate(url), [Tab(url, number) for number in (1, 2, 3)]
    model.log.clear()
    with model.held(1, 2):
        leaving.open_line()
        until(lambda: page.sessions.is_connected(leaving.session))
        leaving.join(generate, photo, steps=6)
        until(lambda: model.log)
        leaving.open_news()
        waiting.join(generate, photo)
        waiting.open_news()
        last.join(generate, photo)
        leaving.close()
        waiting.close()
        until(lambda: not page.sessions.is_connected(leaving.session))
        until(lambda: len(page._queue) == 1)  # of those who wait only the last is left
    assert list(last.news())[-1]["success"] is True
    assert model.log == ["start (1,)", "cancelled", "start (3,)", "finished"]


def test_files_go_with_their_visitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a program that fetched its picture and left; a tab's stay while its line is open."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    page = build_ui(StandIn(), tmp_path)  # type: ignore[arg-type]
    page.sessions.keep_s = 0.5
    options = launch_options(page)["app_kwargs"] | {"lifespan": swept_regularly(page.sessions, every_s=0.1)}
    with served_page(page, app_kwargs=options) as url, httpx.Client(base_url=url, timeout=120) as client:
        tab, visitor = Tab(url.rstrip("/"), 1), Visitor(client)
        tab.open_line()
        until(lambda: page.sessions.is_connected(tab.session))
        photo = visitor.photo("cat.png", uploads.encoded(uploads.picture(), "PNG"))
        page.sessions.claim(tab.session, [photo["path"]])
        came, _ = visitor.generate({"subjects": [{"name": "cat", "photos": [photo]}]})
        assert came
        until(lambda: [path for path in tmp_path.rglob("*") if path.is_file()] == [Path(photo["path"])])
        tab.close()
        until(lambda: list(tmp_path.iterdir()) == [])
        until(lambda: len(page.sessions) == 0)
        assert len(page.server_app.state_holder.session_data) == 0
        came, says = visitor.generate({"subjects": [{"name": "cat", "photos": [photo]}]})
        assert not came
        assert "not there any more" in says


def test_two_thousand_pictures_leave_no_memory_behind(
    tmp_path: Path, long: bool, figure: Callable[[str], None]
) -> None:
    """A tiny real model in a process of its own, through the API; ``--long`` makes 2,000, else 60."""
    warm_up, count = (200, 2000) if long else (30, 60)
    with running(tmp_path, "tiny", keep_s=8.0) as host, httpx.Client(base_url=host.url, timeout=300) as client:
        visitor = Visitor(client)
        png = uploads.encoded(uploads.picture(), "PNG")

        def generate() -> None:
            cat = visitor.photo("cat.png", png)
            size = {"width": 32, "height": 32, "steps": 1}
            came, says = visitor.generate({"subjects": [{"name": "cat", "photos": [cat]}]} | size)
            assert came, says

        for _ in range(warm_up):
            generate()
        before = host.memory_mb
        for number in range(1, count + 1):
            generate()
            if number % 250 == 0:
                figure(f"{number} pictures: memory {before:.0f} MB, then {host.memory_mb:.0f} MB")
        until(lambda: not host.files())
        grown = host.memory_mb - before
        figure(f"{count} pictures: memory {before:.0f} MB, then {host.memory_mb:.0f} MB")
        assert host.health()["finished"] == warm_up + count
    assert grown < 50
