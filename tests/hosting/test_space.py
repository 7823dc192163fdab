"""The repository started as a Space starts it, and behind a password."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client

from demo.page import build_ui
from tests.helpers.paths import ROOT
from tests.helpers.stand_in import StandIn, served_page
from tests.hosting.host import STARTS_WITHIN, Host, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """``python app.py`` with a Space's variables and the built-in model; temporary files under ``folder``."""
    folder, port = tmp_path_factory.mktemp("space"), free_port()
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("MMDIFF_", "GRADIO_"))}
    variables |= {
        "SYSTEM": "spaces",
        "SPACE_ID": "somebody/studio",
        "SPACE_HOST": "somebody-studio.hf.space",
        "SPACE_AUTHOR_NAME": "somebody",
        "SPACE_REPO_NAME": "studio",
        "SPACE_TITLE": "MM-Diff Studio",
        "ACCELERATOR": "none",
        "CPU_CORES": "2",
        "GRADIO_SERVER_NAME": "127.0.0.1",  # 0.0.0.0 there
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "MMDIFF_QUEUE": "3",
        "TMPDIR": str(folder),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=variables, stdout=log, stderr=log)
    host = Host(f"http://127.0.0.1:{port}", process, folder)

    def up() -> bool:
        assert process.poll() is None, host.log
        try:
            return host.health()["status"] == "ok"
        except httpx.HTTPError:
            return False

    try:
        until(up, STARTS_WITHIN)
        yield host
    finally:
        process.kill()
        process.wait(60)


def test_it_serves_the_page_the_api_and_its_health(space: Host) -> None:
    assert "MM-Diff Studio" in httpx.get(space.url).text
    assert space.health()["model"] == "toybox"
    client = Client(space.url, verbose=False)
    (photo,) = client.predict("cat", seed=900_001, views=1, api_name="/toy")
    assert Path(photo).stat().st_size > 1000


def test_its_limits_are_those_of_a_host_and_its_variables_count(space: Host) -> None:
    components = httpx.get(f"{space.url}/config").json()["components"]
    fields = {each["props"].get("elem_id"): each["props"] for each in components}
    assert fields["steps"]["maximum"] == 50
    assert fields["pictures"]["maximum"] == 2
    answer = httpx.post(f"{space.url}/gradio_api/upload", files={"files": ("x.png", bytes(16 * 2**20))}, timeout=60)
    assert answer.status_code == 413


def test_its_log_is_json_and_it_ends_clean_at_term(space: Host) -> None:
    lines = [json.loads(line) for line in space.log.splitlines() if line.startswith("{")]
    assert any(line.get("text", "").startswith("Loading the model toybox") for line in lines), space.log
    assert list(space.folder.glob("mm-diff-studio-*"))
    space.process.terminate()
    assert space.process.wait(240) == 0, space.log
    assert not list(space.folder.glob("mm-diff-studio-*"))
    # Gradio's own watcher of files complains where ``spaces`` is not installed, as it is on a Space.
    assert not re.search(r'File "[^"]*/(app|demo/\w+|mmdiff_core/\w+)\.py"', space.log)


def test_a_password_is_asked_for_everywhere_but_at_the_health() -> None:
    with served_page(build_ui(StandIn()), auth=("guest", "open sesame")) as url, httpx.Client(base_url=url) as client:  # type: ignore[arg-type]
        assert client.get("/healthz").status_code == 200
        for closed in ("/config", "/gradio_api/info", "/gradio_api/file=/x"):
            assert client.get(closed).status_code == 401, closed
        assert client.post("/gradio_api/upload", files={"files": ("x.png", b"x")}).status_code == 401
        assert client.post("/gradio_api/call/generate", json={"data": []}).status_code == 401
        assert client.post("/login", data={"username": "guest", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "guest", "password": "open sesame"}).status_code == 200
        assert client.get("/config").status_code == 200
