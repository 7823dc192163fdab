"""A reverse proxy that serves an app below a path, as nginx does."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.hosting.host import free_port

OWN_HEADERS = ("host", "content-length", "transfer-encoding", "connection")


@contextmanager
def proxied(app_url: str, prefix: str, takes_off: bool, headers: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve an app at ``prefix`` of another port, which is yielded as the page's URL.

    Args:
        app_url: of the app.
        prefix: ``/studio``.
        takes_off: whether the app is asked without the prefix, as with nginx's ``proxy_pass http://app/;``.
        headers: further ones for the app.
    """
    client = httpx.AsyncClient(base_url=app_url.rstrip("/"), timeout=None, trust_env=False)

    async def forward(request: Request) -> Response:
        path = request.url.path
        if path == "/favicon.ico":  # of the site, which browsers ask for by themselves
            return Response(status_code=204)
        if not path.startswith(f"{prefix}/"):
            return PlainTextResponse("not the app", 404)
        path = path.removeprefix(prefix) if takes_off else path
        sent = {name: value for name, value in request.headers.items() if name not in OWN_HEADERS[1:]}
        body = request.stream() if request.method == "POST" else None
        if "content-length" in request.headers:
            sent["content-length"] = request.headers["content-length"]
        asked = client.build_request(
            request.method, path, params=request.url.query, headers={**sent, **(headers or {})}, content=body
        )
        answer = await client.send(asked, stream=True)

        async def stream() -> AsyncIterator[bytes]:
            with suppress(httpx.HTTPError):  # the app has gone
                async for part in answer.aiter_raw():
                    yield part
            await answer.aclose()

        kept = {name: value for name, value in answer.headers.items() if name not in OWN_HEADERS}
        return StreamingResponse(stream(), answer.status_code, kept)

    routes = [Route("/{path:path}", forward, methods=["GET", "POST", "HEAD"])]
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=free_port(), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{config.port}{prefix}/"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(30)
