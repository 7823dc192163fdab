"""What a page has before Gradio draws it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from demo.web.first_paint import FirstPaint

PAGE = "<html><head><title>A page</title></head><body>ö</body></html>"


def _answered(answer: Callable[[], Response], path: str = "/") -> Response:
    def endpoint(_: Request) -> Response:
        return answer()

    app = Starlette(routes=[Route("/{any:path}", endpoint)], middleware=[Middleware(FirstPaint)])
    return TestClient(app).get(path)  # type: ignore[return-value]


def test_the_page_has_it_at_the_end_of_its_head() -> None:
    answer = _answered(lambda: HTMLResponse(PAGE))
    text = answer.text  # type: ignore[attr-defined]
    before, style = text.split("<style>")
    before, script = before.split("<script>")
    assert before == "<html><head><title>A page</title>"
    assert "mmdiff-language" in script
    assert style.endswith("</style></head><body>ö</body></html>")
    assert "MM-Diff Studio" in style
    assert int(answer.headers["content-length"]) == len(text.encode())


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/file", lambda: HTMLResponse(PAGE)),
        ("/", lambda: HTMLResponse("no head")),
        ("/", lambda: StreamingResponse(iter([PAGE[:20], PAGE[20:]]))),
        ("/", lambda: Response(status_code=304)),
    ],
)
def test_nothing_else_is_changed(path: str, answer: Callable[[], Response]) -> None:
    given, sent = answer(), _answered(answer, path)
    assert sent.status_code == given.status_code
    expected = PAGE if isinstance(given, StreamingResponse) else bytes(given.body).decode()
    assert sent.text == expected  # type: ignore[attr-defined]
