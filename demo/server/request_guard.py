"""Refuses requests that are too large, too slow, or name files outside the temporary ones, before the app sees them.

Paths are those of the app, wherever it is mounted or a proxy serves it.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import unquote

from starlette._utils import get_route_path
from starlette.responses import JSONResponse, PlainTextResponse, Response

from demo.server.event_log import EventLog
from demo.server.limits import Limits
from demo.server.sessions import Sessions, is_temporary

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGI = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

HEARTBEAT = "/gradio_api/heartbeat/"
UPLOAD = "/gradio_api/upload"
FETCH = ("/gradio_api/file=", "/gradio_api/proxy=", "/gradio_api/file/")
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
MAX_DEPTH = 60  # levels of a request's JSON
PREFIX = b"x-forwarded-prefix"  # which a proxy sends that takes off the path it serves the app at
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
DISK_FULL = "The server has no room for more files: try again later, or tell whoever runs it."


class RefusedRequest(Exception):
    """A request is refused, with an HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class RequestGuard:
    """An ASGI middleware.

    Args:
        app: what the requests are for.
        limits: how large and how slow a request may be.
        sessions: told of the connections that they hold open.
        event_log: gets a line when the disk is full.
    """

    def __init__(self, app: ASGI, limits: Limits, sessions: Sessions, event_log: EventLog | None = None) -> None:
        self.app, self.limits, self.sessions = app, limits, sessions
        self.event_log = event_log or EventLog()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _learn_prefix(scope)
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._serve(scope, receive, noted)
        except RefusedRequest as refused:
            if not began:
                await _answer(scope, refused)(scope, receive, send)

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = get_route_path(scope)
        _check_address(path)
        if path.startswith(HEARTBEAT):
            session = path.removeprefix(HEARTBEAT)
            self.sessions.connect(session)
            try:
                await self.app(scope, receive, send)
            finally:
                self.sessions.disconnect(session)
            return
        if scope["method"] in WITHOUT_BODY:  # no wrapper: streams ask in passing whether the client has left
            await self.app(scope, receive, send)
            return
        body = self._bounded(scope, receive)
        if not path.startswith(UPLOAD):
            body = await _read_and_checked(body)
        try:
            await self.app(scope, body, send)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            self.event_log.failed("disk_full", error)
            raise RefusedRequest(507, DISK_FULL) from error

    def _bounded(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        """Wrap ``receive`` until the whole body has arrived; afterwards it only tells whether the client has left."""
        limits = self.limits
        upload = get_route_path(scope).startswith(UPLOAD)
        most = limits.upload_mb * 2**20 * limits.photos if upload else limits.body_kb * 2**10
        _check_length(scope, most)
        began, came, whole = time.monotonic(), 0, False

        async def bounded() -> Message:
            nonlocal came, whole
            if whole:
                return await receive()
            left = min(limits.idle_seconds, began + limits.body_seconds - time.monotonic())
            try:
                message = await asyncio.wait_for(receive(), max(left, 0.01))
            except TimeoutError:
                raise RefusedRequest(408, "The request took too long to arrive: send it again.") from None
            came += len(message.get("body", b""))
            if came > most:
                raise RefusedRequest(413, _too_large(most))
            whole = not message.get("more_body", False)
            return message

        return bounded


def _learn_prefix(scope: MutableMapping[str, Any]) -> None:
    """Let the app know where a proxy serves it, so that its links lead there."""
    if scope.get("root_path"):
        return
    prefix = dict(scope["headers"]).get(PREFIX, b"").decode("latin-1").rstrip("/")
    if re.fullmatch(r"(/[\w.~-]+)+", prefix, re.ASCII):
        scope["root_path"] = prefix
        scope["path"] = prefix + scope["path"].removeprefix(prefix)
        if scope.get("raw_path"):
            raw = prefix.encode()
            scope["raw_path"] = raw + scope["raw_path"].removeprefix(raw)


def _answer(scope: MutableMapping[str, Any], refused: RefusedRequest) -> Response:
    """Return a refusal; the page shows that of an upload as it is."""
    headers = {"Connection": "close"}  # do not wait for the rest of the body
    if get_route_path(scope).startswith(UPLOAD):
        return PlainTextResponse(refused.message, refused.status, headers=headers)
    return JSONResponse({"detail": refused.message}, refused.status, headers=headers)


def _check_length(scope: MutableMapping[str, Any], most: int) -> None:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > most:
        raise RefusedRequest(413, _too_large(most))


def _too_large(most: int) -> str:
    return f"The request is too large: at most {most / 2**20:.3g} MB are allowed."


def _check_address(path: str) -> None:
    """Refuse web addresses, which Gradio would fetch and pass on; this page has no use for that."""
    for start in FETCH:
        if path.startswith(start) and _is_address(unquote(path.removeprefix(start))):
            raise RefusedRequest(403, "Only files of this page are served.")


async def _read_and_checked(receive: Receive) -> Receive:
    """Read and check the whole body; returns a ``receive`` that hands it on as one message."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedRequest(400, "The request broke off.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    _check_body(body)
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _check_body(body: bytes) -> None:
    """Check that the files that a request names are uploads; Gradio would fetch those that are web addresses."""
    try:
        content = json.loads(body) if body[:1] in (b"{", b"[") else None
    except (ValueError, RecursionError):
        return  # the app answers with what is wrong
    try:
        files = list(_files(content))
    except RecursionError:
        raise RefusedRequest(400, "The request is nested too deeply.") from None
    if any(_is_address(path) or (marked and not is_temporary(path)) for path, marked in files):
        raise RefusedRequest(400, "A photo is not an upload, or is no longer on this server: upload it again.")


def _files(content: Any, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Yield every path in a request, and whether it is marked as one of Gradio's files."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(content, dict):
        if isinstance(path := content.get("path"), str):
            meta = content.get("meta")
            yield path, isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"
        for value in content.values():
            yield from _files(value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            yield from _files(value, depth + 1)


def _is_address(path: str) -> bool:
    start = path.strip().lower().lstrip("/")
    return "://" in start[:12] or start.startswith(("http:", "https:", "ftp:", "data:"))
