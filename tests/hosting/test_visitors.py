"""The app as hostile and unlucky visitors use it. ``--long`` takes every case, else every few."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosting import requests, uploads
from tests.hosting.host import Host, running, until

pytestmark = pytest.mark.slow

SECRET = "the-secret-of-this-server"
INNER = "what-stands-inside-the-secret"
# What a browser must never see: traces, and paths other than those of its own uploads.
INSIDE = re.compile(r"Traceback|site-packages|\.py\b.{0,3}line|File \"/|/demo/|/mmdiff_core/|" + re.escape(INNER))
FEW = 6  # the short form takes every so manieth case


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with running(tmp_path_factory.mktemp("host"), "tiny") as host:
        yield host


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of the server that nobody uploaded, a picture that could be used."""
    path = tmp_path_factory.mktemp("server") / f"{SECRET}.png"
    path.write_bytes(uploads.encoded(uploads.picture(), "PNG") + INNER.encode())
    return str(path)


@pytest.fixture(scope="module")
def visitor(host: Host) -> Iterator[Visitor]:
    with httpx.Client(base_url=host.url, timeout=120) as client:
        yield Visitor(client)


class Visitor:
    """Speaks HTTP and nothing else. Everything that comes back is looked through."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.asked = 0

    def look_through(self, answer: httpx.Response) -> httpx.Response:
        self.asked += 1
        if answer.headers.get("content-type", "").startswith(("text", "application/json")):
            found = INSIDE.search(answer.text)
            assert found is None, answer.text[max(found.start() - 200, 0) :][:600]
        return answer

    def upload(self, name: str, data: bytes) -> httpx.Response:
        return self.look_through(self.client.post("/gradio_api/upload", files={"files": (name, data)}))

    def photo(self, name: str, data: bytes) -> dict[str, Any]:
        answer = self.upload(name, data)
        assert answer.status_code == 200, answer.text
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}, "orig_name": name}

    def generate(self, changes: dict[str, Any]) -> tuple[bool, Any]:
        """Whether a picture came, and it or what was said instead."""
        asked = requests.GOOD | changes
        body = json.dumps({"data": [asked.get(name) for name in requests.NAMES]})
        call = self.client.post("/gradio_api/call/generate", content=body, headers={"Content-Type": "application/json"})
        self.look_through(call)
        if call.status_code != 200:
            return False, call.json()["detail"]
        answer = self.look_through(self.client.get(f"/gradio_api/call/generate/{call.json()['event_id']}"))
        kind, data = answer.text.strip().split("\n\n")[-1].split("\n")
        content = json.loads(data.removeprefix("data: "))
        return kind == "event: complete", content[0] if kind == "event: complete" else content.get("error")

    def ends_well(self, what: str, changes: dict[str, Any], good: bool | None) -> None:
        """In a picture or in a sentence."""
        came, content = self.generate(changes)
        assert good is None or came is good, (what, content)
        if came:
            assert content[0]["settings"]["steps"] >= 1, what
        else:
            assert isinstance(content, (str, list)), (what, content)
            assert len(content) < 2000, what
            assert content, what
            assert "Something went wrong" not in content, what


@pytest.fixture(scope="module")
def cat(visitor: Visitor) -> dict[str, Any]:
    return visitor.photo("cat.png", uploads.encoded(uploads.picture(), "PNG"))


def chosen(cases: list[Any], long: bool) -> list[Any]:
    return cases if long else cases[::FEW]


def test_there_are_enough_uploads() -> None:
    assert len(list(uploads.all_uploads())) >= 300


def _upload_all(visitor: Visitor, cases: list[uploads.Upload]) -> None:
    for case in cases:
        photo = visitor.photo(case.name, case.data)
        visitor.ends_well(case.kind, {"subjects": [{"name": "cat", "photos": [photo]}]}, case.good)


def test_every_upload_ends_in_a_picture_or_a_sentence_and_leaves_no_memory_behind(
    tmp_path: Path, long: bool, figure: Callable[[str], None]
) -> None:
    """All come twice: the first time the app also makes what it makes only once."""
    cases = chosen(list(uploads.all_uploads()), long)
    with running(tmp_path, "tiny", keep_s=8.0) as host, httpx.Client(base_url=host.url, timeout=120) as client:
        visitor = Visitor(client)
        _upload_all(visitor, cases)
        before = _settled_mb(host)
        _upload_all(visitor, cases)
        most = host.memory_mb
        after = _settled_mb(host)
        _is_at_rest(host)
        figure(f"{len(cases)} uploads: {before:.0f} MB before, {most:.0f} MB at their end, {after:.0f} MB settled")
    assert after < 1.05 * before


def _settled_mb(host: Host) -> float:
    """Memory once all visitors' files are gone and it has stopped to shrink."""
    until(lambda: not host.files())
    least, unchanged = host.memory_mb, 0
    while unchanged < 20:
        time.sleep(0.2)
        now = host.memory_mb
        least, unchanged = (now, 0) if now < least else (least, unchanged + 1)
    return least


def test_every_prompt(visitor: Visitor, cat: dict[str, Any], long: bool) -> None:
    for what, changes, good in chosen(list(requests.prompts()), long):
        visitor.ends_well(what, {"subjects": [{"name": "cat", "photos": [cat]}]} | changes, good)


def test_every_number(visitor: Visitor, cat: dict[str, Any], long: bool) -> None:
    for what, changes, good in chosen(list(requests.numbers()), long):
        visitor.ends_well(what, {"subjects": [{"name": "cat", "photos": [cat]}]} | changes, good)


def test_every_layout_of_subjects(visitor: Visitor, cat: dict[str, Any], long: bool) -> None:
    for what, changes, good in chosen(list(requests.subjects(cat)), long):
        visitor.ends_well(what, changes, good)


def test_no_file_of_the_server_stands_in_for_a_photo(visitor: Visitor, secret: str, long: bool) -> None:
    for what, changes, good in chosen(list(requests.paths(secret)), long):
        visitor.ends_well(what, changes, good)


def test_no_address_gives_a_file_of_the_server(host: Host, visitor: Visitor, secret: str, long: bool) -> None:
    for address in chosen(list(requests.addresses(secret)), long):
        status, body = _raw_get(host, address)
        assert "root:x:0" not in body, address
        assert not INSIDE.search(body), address
        assert status != 500, address


def _raw_get(host: Host, address: str) -> tuple[int, str]:
    """As it stands; clients would tidy the address."""
    port = int(host.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        line.sendall(head.encode("latin-1", "replace"))
        answer = b""
        while part := line.recv(65536):
            answer += part
    return int(answer.split(b" ", 2)[1]), answer.decode("utf-8", "replace")


def test_the_page_s_own_events_take_no_nonsense(host: Host, visitor: Visitor, secret: str, long: bool) -> None:
    """Every event by its number, with data of the wrong length, kind and origin."""
    forged = {"path": secret, "meta": {"_type": "gradio.FileData"}}
    numbers = [each["id"] for each in visitor.client.get("/config").json()["dependencies"] if each["backend_fn"]]
    odd = ([], [None] * 60, ["x"] * 60, [[{"image": forged, "caption": None}]] * 60, [{"a": 1}] * 60, [10**400] * 60)
    for number in numbers if long else numbers[::FEW]:
        for data in odd:
            event = {"change": [1], "word": 3, "slot": -99, "name": {"x": 1}, "stream": [], "kind": None}
            body = {"data": data, "fn_index": number, "session_hash": "odd", "event_data": event}
            answer = visitor.look_through(visitor.client.post("/gradio_api/queue/join", json=body))
            assert answer.status_code < 500 or answer.status_code == 503, answer.text
            answer = visitor.look_through(visitor.client.post("/gradio_api/run/predict", json=body))
            assert INNER not in answer.text


def test_oversized_and_broken_bodies(host: Host, visitor: Visitor) -> None:
    post = visitor.client.post
    large = visitor.upload("large.png", bytes(16 * 2**20))
    assert large.status_code == 413
    assert post("/gradio_api/call/generate", content=b"[" * 2_000_000).status_code == 413
    for body in (b"", b"{", b"[" * 100_000, b'{"data":' + b'{"a":' * 5000, b"\xff" * 99, b"null", b'{"data": null}'):
        answer = post("/gradio_api/call/generate", content=body, headers={"Content-Type": "application/json"})
        assert visitor.look_through(answer).status_code in (400, 422), body[:20]
    many = {"files": ("x.png", b"x")}
    assert post("/gradio_api/upload", files=[("files", many["files"])] * 1100).status_code in (400, 413)
    assert post("/gradio_api/upload", content=b"--x\r\n", headers={"Content-Type": "text/plain"}).status_code < 600
    claimed = _first_line(host, "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert b"413" in claimed


def test_slow_clients_are_given_up_and_others_served_meanwhile(host: Host, visitor: Visitor) -> None:
    start = "POST /gradio_api/call/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
    port = int(host.url.rsplit(":", 1)[1])
    lines = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(60)]
    for line in lines:
        line.sendall(start.encode())
    began = time.monotonic()
    assert host.health()["status"] == "ok"
    assert time.monotonic() - began < 30
    for line in lines:
        assert b"408" in line.recv(4096).split(b"\r\n")[0]
        line.close()


def _first_line(host: Host, head: str) -> bytes:
    port = int(host.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(head.encode())
        return line.recv(4096).split(b"\r\n")[0]


def test_nothing_of_one_visitor_reaches_another(visitor: Visitor, cat: dict[str, Any]) -> None:
    """Neither by the names of files, nor by another's session, nor by what is listed anywhere."""
    mine = Path(cat["path"])
    for guess in (mine.parent.parent, mine.parent, mine.parent.parent / ("0" * 64) / mine.name):
        assert visitor.client.get(f"/gradio_api/file={guess}").status_code in (403, 404)
    words = "a cat of nobody else"
    came, _ = visitor.generate({"prompt": words, "subjects": [{"name": "cat", "photos": [cat]}]})
    assert came
    for address in ("/config", "/gradio_api/info", "/gradio_api/queue/status", "/healthz"):
        answer = visitor.client.get(address)
        assert words not in answer.text
        assert mine.parent.name not in answer.text


def test_where_the_model_is_stays_unknown(host: Host, visitor: Visitor, cat: dict[str, Any]) -> None:
    came, content = visitor.generate({"subjects": [{"name": "cat", "photos": [cat]}]})
    assert came
    assert content[0]["settings"]["model"] == "model"
    call = visitor.client.post("/gradio_api/call/models", json={"data": []}).json()["event_id"]
    for address in ("/config", "/healthz", f"/gradio_api/call/models/{call}"):
        assert str(host.folder / "model") not in visitor.client.get(address).text, address


def test_the_log_tells_no_words_and_no_file_names(host: Host, visitor: Visitor, cat: dict[str, Any]) -> None:
    came, _ = visitor.generate({"prompt": "a cat called Wilhelmina", "subjects": [{"name": "cat", "photos": [cat]}]})
    assert came
    visitor.generate({"prompt": "only Wilhelmina", "subjects": [{"name": "cat", "photos": [cat]}]})
    lines = [json.loads(line) for line in host.log.splitlines() if line.startswith("{")]
    generated = [line for line in lines if line["event"] == "generated"]
    assert generated[-1]["photos"] == 1
    assert lines[-1]["event"] == "refused"
    assert "Wilhelmina" not in host.log
    assert "cat.png" not in host.log


def test_at_the_end_the_app_is_as_it_was(host: Host, visitor: Visitor, cat: dict[str, Any]) -> None:
    """It answers, right and at once."""
    came, _ = visitor.generate({"subjects": [{"name": "cat", "photos": [cat]}]})
    assert came
    _is_at_rest(host)


def _is_at_rest(host: Host) -> None:
    health = host.health()
    assert (health["status"], health["running"], health["waiting"]) == ("ok", 0, 0)
