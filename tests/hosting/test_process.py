"""``python app.py`` as a process: behind proxies, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from tests.helpers.paths import ROOT
from tests.hosting.app_process import environment, running_app
from tests.hosting.host import Host, free_port, until

pytestmark = pytest.mark.slow

NOBODY = "127.0.0.1:9"  # a port that nobody listens on
OURS = "mm-diff-studio-*"


@pytest.fixture(autouse=True)
def _interrupts_reach_processes() -> Iterator[None]:
    """A shell that runs the tests in the background has SIGINT ignored, which the app would inherit."""
    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _ends(host: Host, number: signal.Signals) -> None:
    host.process.send_signal(number)
    assert host.process.wait(240) == 0, host.log
    assert not list(host.folder.glob(OURS))
    assert "Traceback" not in host.log


@pytest.mark.parametrize(
    ("variables", "told", "number"),
    [
        ({"http_proxy": f"http://{NOBODY}"}, None, signal.SIGTERM),
        ({"https_proxy": f"http://{NOBODY}", "NO_PROXY": "intranet"}, None, signal.SIGHUP),
        ({"ALL_PROXY": NOBODY}, None, signal.SIGINT),
        ({"all_proxy": f"socks://{NOBODY}"}, "all_proxy", signal.SIGTERM),
        ({"all_proxy": f"socks5://{NOBODY}", "http_proxy": f"http://{NOBODY}"}, None, signal.SIGHUP),
    ],
)
def test_the_page_starts_behind_any_proxy_and_ends_at_any_signal(
    variables: dict[str, str], told: str | None, number: signal.Signals, tmp_path: Path
) -> None:
    with running_app(tmp_path, **variables) as host:
        assert list(tmp_path.glob(OURS))
        if told:
            assert f"The proxy that the variable {told} names cannot be used" in host.log
        _ends(host, number)


def test_a_public_link_needs_a_proxy_that_works(tmp_path: Path) -> None:
    command = [sys.executable, "app.py", "--share", "--port", str(free_port())]
    variables = environment(tmp_path, {"all_proxy": f"socks://{NOBODY}"})
    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "all_proxy" in line
    assert line.endswith("change or unset it.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_ends_first(number: signal.Signals, tmp_path: Path) -> None:
    """Its step is finished, its visitor told, and no thread takes the process down."""
    with running_app(tmp_path) as host:
        client = Client(host.url, verbose=False, httpx_kwargs={"trust_env": False})
        (photo,) = client.predict("cat", seed=900_001, views=1, api_name="/toy")
        subject = {"name": "cat", "photos": [handle_file(photo)], "strength": 1.0}
        job = client.submit("a cat", [subject], pictures=4, steps=100, api_name="/generate")
        until(lambda: host.health()["running"] == 1 or job.done())
        assert not job.done(), job.exception()
        _ends(host, number)
        assert '"event": "failed"' in host.log
