"""``/healthz`` tells load balancers and container hosts whether the app can serve; it says nothing about visitors."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from gradio.utils import get_upload_folder
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from demo.server.service import Service

PATH = "/healthz"
STUCK_S = 300  # without a step


def health_route(service: Service) -> Route:
    """Return a route that answers 200 while all is well, and 503 once a run hangs so that only a restart helps."""

    def health(request: Request) -> JSONResponse:
        state = service_state(service) | {"waiting": queue_length(request.app)}
        return JSONResponse(state, 200 if state["status"] == "ok" else 503, headers={"Cache-Control": "no-store"})

    return Route(PATH, health, methods=["GET", "HEAD"])


def service_state(service: Service) -> dict[str, Any]:
    """Return the state of the service in numbers."""
    monitor, silent = service.monitor, service.monitor.silent_s()
    stuck = silent > max(STUCK_S, service.limits.run_seconds)
    return {
        "status": "stuck" if stuck else "ok",
        "model": service.backbone.display_name,
        "up_s": round(time.monotonic() - monitor.began),
        "running": monitor.running,
        "silent_s": round(silent),
        "finished": monitor.finished,
        "failed": monitor.failed,
        "disk_free_mb": free_disk_mb(),
    }


def queue_length(app: Any) -> int:
    """Return how many requests wait for the model."""
    return len(app.get_blocks()._queue)


def free_disk_mb() -> int | None:
    """Return the free space for temporary files; None where it is unknown."""
    try:
        return shutil.disk_usage(get_upload_folder()).free >> 20
    except OSError:
        return None
