"""The app as a host runs it, in a process of its own, with a model that costs little."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from demo.server.limits import Limits
    from demo.server.service import Service

STARTS_WITHIN = 1200  # seconds; a busy machine takes minutes


@dataclass(frozen=True)
class Host:
    """A running app."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path  # temporary/ and log inside

    @property
    def memory_mb(self) -> float:
        """Resident memory of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    @property
    def log(self) -> str:
        """What the app has written so far."""
        return (self.folder / "log").read_text(errors="replace")

    def files(self) -> list[Path]:
        """Temporary files of visitors."""
        found = os.walk(self.folder / "temporary")  # takes it well that folders vanish meanwhile
        return [Path(folder) / name for folder, _, names in found for name in names]

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` says."""
        return httpx.get(f"{self.url}/healthz", timeout=60).json()


@contextmanager
def running(folder: Path, model: str = "stand-in", keep_s: float = 3600.0) -> Iterator[Host]:
    """The app, until the block ends."""
    port = free_port()
    (folder / "temporary").mkdir(parents=True)
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "temporary"), "GRADIO_ANALYTICS_ENABLED": "False"}
    environment |= {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000000"}
    command = [sys.executable, "-m", "tests.hosting.host", model, str(port), str(folder), str(keep_s)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        host = Host(url, process, folder)
        until(lambda: _answers(url) or process.poll() is not None, STARTS_WITHIN)
        assert process.poll() is None, host.log
        yield host
        assert process.poll() is None, f"the app has gone: {host.log[-3000:]}"
    finally:
        process.terminate()
        process.wait(60)


def until(true: Any, within_s: float = 120.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on, below those that connections get, which may take it before the app does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def main(model: str, port: int, folder: Path, keep_s: float) -> None:
    """Serve."""
    from demo.page import build_ui, launch_options
    from demo.server.event_log import set_up_logging
    from demo.server.limits import hosted_limits
    from demo.server.service import Service
    from tests.helpers.stand_in import StandIn

    set_up_logging("json")
    limits = replace(hosted_limits(), idle_seconds=3, body_seconds=6, queue=30)
    service = _tiny(folder, limits) if model == "tiny" else Service(StandIn(), limits)
    page = build_ui(service, folder / "temporary")
    page.sessions.keep_s = keep_s
    options = launch_options(page)
    options["app_kwargs"]["lifespan"] = _quick_sweeps(page.sessions)
    page.launch(server_name="127.0.0.1", server_port=port, quiet=True, **options)


def _quick_sweeps(sessions: Any) -> Any:
    from demo.server.sessions import swept_regularly

    return swept_regularly(sessions, every_s=0.5)


def _tiny(folder: Path, limits: Limits) -> Service:
    """A Stable Diffusion that was given by its folder, as the app serves it to others."""
    from demo.server import launch
    from tests.helpers import tiny

    model = tiny.save_model("sd", folder / "model")
    given = ("--base", str(model), "--adapter", str(model / "adapter.safetensors"), "--device", "cpu")
    return launch.load_service(launch.parse_flags(["--hosted", *given]), limits)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))
