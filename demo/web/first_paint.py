"""The page before Gradio has drawn it: what comes with the first byte, unlike all that Gradio lets one set.

It is a style, and the language that was chosen on an earlier visit, for which Gradio asks before all else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette._utils import get_route_path
from starlette.datastructures import MutableHeaders

from demo.web.static_files import static

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_END = b"</head>"
_SCRIPT, _STYLE = static("web/first_paint_language.js"), static("web/first_paint.css")
_FIRST = f"<script>{_SCRIPT}</script><style>{_STYLE}</style>".encode()


class FirstPaint:
    """An ASGI middleware that puts script and style into the head of the page.

    Args:
        app: what answers the requests; what it sends is not compressed yet.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Send) -> None:
        """Pass a request on; the page comes back with both."""
        is_page = scope["type"] == "http" and scope["method"] == "GET" and get_route_path(scope) in ("", "/")
        await self.app(scope, receive, _painted(send) if is_page else send)


def _painted(send: Send) -> Send:
    """Return what sends an answer with both, in the part of it that ends the head."""
    held: list[Message] = []  # the start of the answer, until it is known how long it gets

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            held.append(message)
            return
        if held:
            start = held.pop()
            if _END in message.get("body", b""):
                message = {**message, "body": message["body"].replace(_END, _FIRST + _END, 1)}
                headers = MutableHeaders(raw=list(start["headers"]))
                if "content-length" in headers:
                    headers["content-length"] = str(int(headers["content-length"]) + len(_FIRST))
                start = {**start, "headers": headers.raw}
            await send(start)
        await send(message)

    return sent
