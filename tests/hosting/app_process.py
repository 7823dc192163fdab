"""``python app.py`` as a process, with the variables of a test and none of ours from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.helpers.paths import ROOT
from tests.hosting.host import STARTS_WITHIN, Host, free_port, until

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of this process, those of proxies and of the app replaced by ``variables``."""
    left_out = ("MMDIFF_", "GRADIO_")
    usual = {name: text for name, text in os.environ.items() if not name.startswith(left_out)}
    usual = {name: text for name, text in usual.items() if name.lower() not in PROXIES}
    return {**usual, "HF_HUB_OFFLINE": "1", "TMPDIR": str(folder), **variables}


@contextmanager
def running_app(folder: Path, *flags: str, cwd: Path = ROOT, **variables: str) -> Iterator[Host]:
    """The app until the block ends; its log and its temporary files are in ``folder``."""
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--log", "json", *flags]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environment(folder, variables), stdout=log, stderr=log)
    host = Host(f"http://127.0.0.1:{port}", process, folder)
    try:
        until(lambda: process.poll() is not None or _answers(host.url), STARTS_WITHIN)
        assert process.poll() is None, host.log
        yield host
    finally:
        process.kill()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
