"""What ends before the app, without a server: requests as an ASGI server hands them over."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from demo.server.limits import Limits
from demo.server.request_guard import RequestGuard
from demo.server.sessions import Sessions

LIMITS = Limits(body_kb=1, upload_mb=1, photos=1, idle_seconds=1, body_seconds=1)


class App:
    """Reads the whole body and says so."""

    def __init__(self, sessions: Sessions) -> None:
        self.body, self.receive, self.sessions = b"", None, sessions
        self.here: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.receive = receive
        self.here = [session for session in ("tab",) if self.sessions.is_connected(session)]
        more = scope["method"] != "GET"
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"good"})


def serve(
    path: str, parts: Sequence[bytes] = (b"",), method: str = "POST", headers: Any = (), ends: bool = True
) -> tuple[int, str, App]:
    """Status, body and the app; ``ends=False`` is a client that sends no more after its parts."""
    sessions = Sessions(60)
    app, sent = App(sessions), []
    waiting = [
        {"type": "http.request", "body": part, "more_body": i < len(parts) - 1 or not ends}
        for i, part in enumerate(parts)
    ]

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(100)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    asyncio.run(RequestGuard(app, LIMITS, sessions)(scope, receive, send))
    app.sessions = sessions
    return sent[0]["status"], sent[1]["body"].decode(), app


def test_a_good_request_arrives_as_it_was_sent() -> None:
    status, _, app = serve("/gradio_api/queue/join", [b'{"data":', b"[1]}"])
    assert (status, app.body) == (200, b'{"data":[1]}')
    status, _, app = serve("/gradio_api/upload", [b"x" * 500_000] * 2)
    assert (status, len(app.body)) == (200, 1_000_000)


@pytest.mark.parametrize(
    ("path", "parts", "headers"),
    [
        ("/gradio_api/queue/join", [b"x" * 600] * 2, ()),
        ("/gradio_api/upload", [b"x" * 600_000] * 2, ()),
        ("/gradio_api/upload", [b""], [(b"content-length", b"99999999")]),
        ("/login", [b""], [(b"content-length", b"1025")]),
    ],
)
def test_what_is_too_large_ends_whether_it_says_so_or_not(path: str, parts: list[bytes], headers: Any) -> None:
    status, says, _ = serve(path, parts, headers=headers)
    assert status == 413
    assert "too large" in says


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/upload"])
def test_what_stops_arriving_is_given_up(path: str) -> None:
    status, says, _ = serve(path, [b"half"], ends=False)
    assert status == 408
    assert "too long to arrive" in says


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1/x",
        "/gradio_api/file=HTTPS://example.invalid/x.png",
        "/gradio_api/file=%68ttp://127.0.0.1/x",
        "/gradio_api/file=//example.invalid",
        "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/file/ftp://example.invalid",
    ],
)
def test_nothing_is_fetched_for_a_visitor(path: str) -> None:
    assert serve(path, method="GET")[0] == (200 if path.endswith("=//example.invalid") else 403)


FILE = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"path": "http://127.0.0.1/x.png"}, 400),
        ([{"a": [{"b": {"path": " https://x.invalid/x.png"}}]}], 400),
        (FILE | {"path": "/etc/passwd"}, 400),
        (FILE | {"path": "app.py"}, 400),
        (FILE | {"path": "/etc/passwd\x00.png"}, 400),
        (FILE | {"path": "TEMPORARY/../secret.png"}, 400),
        (FILE | {"path": "TEMPORARY/0/photo.png"}, 200),
        ({"path": "/etc/passwd"}, 200),  # not marked: the app takes it for no file
        ({"path": 7}, 200),
        ({"path": None, "url": "x"}, 200),
        ("nothing", 200),
    ],
)
def test_files_that_a_request_names_are_uploads(
    content: Any, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    body = json.dumps({"data": [content]}).replace("TEMPORARY", str(tmp_path)).encode()
    assert serve("/gradio_api/queue/join", [body])[0] == status
    escaped = body.replace(b"path", b"\\u0070ath").replace(b"http", b"\\u0068ttp")
    assert serve("/gradio_api/queue/join", [escaped])[0] == status


def test_what_is_nested_too_deeply_ends() -> None:
    assert serve("/gradio_api/queue/join", [b"[" * 100 + b"]" * 100])[0] == 400
    assert serve("/gradio_api/queue/join", [b"{nonsense"])[0] == 200  # the app says what is wrong


def test_a_tab_is_here_while_its_line_is_open() -> None:
    status, _, app = serve("/gradio_api/heartbeat/tab", method="GET")
    assert (status, app.here) == (200, ["tab"])
    assert not app.sessions.is_connected("tab")


def test_streams_get_the_server_s_own_news() -> None:
    """Wrapped, a look whether the client has left would be cancelled before it looked."""
    _, _, app = serve("/gradio_api/queue/data", method="GET")
    assert app.receive.__qualname__.startswith("serve.")


# ---------------------------------------------------------------- a full disk


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/queue/join"])
def test_a_full_disk_is_said_in_a_sentence_without_a_path(path: str) -> None:
    async def app(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/secret/file")

    sent = _answered(app, {"path": path, "method": "POST", "headers": []})
    assert sent[0]["status"] == 507
    assert b"no room for more files: try again later" in sent[1]["body"]
    assert b"/srv" not in sent[1]["body"]
    assert sent[1]["body"].startswith(b"{") == ("upload" not in path)  # the page shows an upload's answer as it is


def test_other_errors_of_the_app_are_its_own() -> None:
    async def app(*_: Any) -> None:
        raise FileNotFoundError("x")

    with pytest.raises(FileNotFoundError):
        _answered(app, {"path": "/gradio_api/upload", "method": "POST", "headers": []})


# ---------------------------------------------------------------- below a path


@pytest.mark.parametrize(
    "place",
    [
        {"path": "/studio/gradio_api/upload", "root_path": "/studio"},  # mounted, or the proxy leaves the prefix on
        {"path": "/gradio_api/upload", "root_path": "/studio"},  # the proxy takes it off, GRADIO_ROOT_PATH is set
        {"path": "/gradio_api/upload", "headers": [(b"x-forwarded-prefix", b"/studio/")]},
        {"path": "/studio/gradio_api/upload", "headers": [(b"x-forwarded-prefix", b"/studio")]},
    ],
)
def test_the_guard_knows_the_app_s_own_paths_anywhere(place: dict[str, Any]) -> None:
    """An upload may be large; what opens a connection is counted; no address is fetched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, await receive()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"good"})

    scope = {"method": "POST", "headers": []} | place
    assert _answered(app, scope, bytes(500_000))[0]["status"] == 200
    assert (seen[0][0]["root_path"], len(seen[0][1]["body"])) == ("/studio", 500_000)
    fetch = {**scope, "method": "GET", "path": place["path"].replace("upload", "file=http://10.0.0.1/x")}
    assert _answered(app, fetch)[0]["status"] == 403


@pytest.mark.parametrize("prefix", [b"https://evil", b"//evil.org", b"studio", b"/a b", b"/", b"", b"/\xff"])
def test_a_forged_prefix_is_left_alone(prefix: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert not scope.get("root_path")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"good"})

    scope = {"path": "/config", "method": "GET", "headers": [(b"x-forwarded-prefix", prefix)]}
    assert _answered(app, scope)[0]["status"] == 200


def _answered(app: Any, scope: dict[str, Any], body: bytes = b"") -> list[Any]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(RequestGuard(app, LIMITS, Sessions(60))({"type": "http", **scope}, receive, send))
    return sent
