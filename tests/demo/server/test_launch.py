from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

import app
from demo.server import launch, zero_gpu
from demo.server.limits import local_limits
from mmdiff_core.errors import ModelError
from tests.helpers import tiny
from tests.helpers.stand_in import StandIn


def test_flags_default_to_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    flags = launch.parse_flags([])
    assert (flags.host, flags.port, flags.model, flags.share) == ("127.0.0.1", 7860, "toybox", False)
    assert flags.votes is None
    assert launch.parse_flags(["--votes", "off"]).votes == "off"


def test_a_space_says_where_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8080")
    flags = launch.parse_flags([])
    assert (flags.host, flags.port) == ("0.0.0.0", 8080)
    assert launch.parse_flags(["--port", "1234"]).port == 1234


@pytest.mark.parametrize("port", ["many", "70000", "-1"])
def test_a_port_that_is_none_ends_with_one_sentence(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", port)
    with pytest.raises(SystemExit):
        launch.parse_flags([])
    assert f'must be a whole number from 1 to 65535, but is "{port}"' in capsys.readouterr().err


def test_an_empty_port_is_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "")
    assert launch.parse_flags([]).port == 7860


def test_a_port_in_use_ends_with_one_sentence_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "load_model", lambda _: pytest.fail("loaded"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"cannot be served at 127.0.0.1, port {port}"):
            app.main(["--host", "127.0.0.1", "--port", str(port)])


def test_a_missing_model_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise ModelError("There is no such model: get it with ...")

    monkeypatch.setattr(launch, "load_model", missing)
    monkeypatch.setattr(launch, "check_address", lambda *_: None)
    with pytest.raises(SystemExit, match="There is no such model"):
        app.main([])


def test_every_flag_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        launch.parse_flags(["--help"])
    told = capsys.readouterr().out
    flags = re.findall(r"^  (?:-h, )?(--[\w-]+)(.*)(?=\n(.*))", told, re.MULTILINE)
    assert len(flags) > 30
    for name, rest, below in flags:
        assert re.search(r"  [a-z0-9\"]", rest) or below.startswith(" " * 24), name


def test_importing_the_app_does_nothing() -> None:
    code = "import sys, app; assert 'gradio' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("flag", "shown"), [("--hosted", False), ("--share", False), ("--log-words", True)])
def test_only_the_own_machine_is_told_of_folders(tmp_path: Path, flag: str, shown: bool) -> None:
    folder = tiny.save_toybox(tmp_path / "mine")
    flags = launch.parse_flags([flag, "--model", str(folder), "--device", "cpu"])
    assert launch.load_service(flags, local_limits()).origin.model == (str(folder) if shown else "mine")


def test_a_public_link_counts_as_hosted_for_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert launch.is_public(launch.parse_flags(["--share"]))
    assert not launch.is_public(launch.parse_flags([]))


def test_hosting_is_said_by_flags_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PASSWORD", "USER", "LOG", "LOG_WORDS"):
        monkeypatch.delenv(f"MMDIFF_{name}", raising=False)
    flags = launch.parse_flags([])
    assert (flags.hosted, flags.password, flags.user, flags.log, flags.log_words) == (False, None, "guest", None, False)
    monkeypatch.setenv("MMDIFF_PASSWORD", "open sesame")
    monkeypatch.setenv("MMDIFF_LOG_WORDS", "1")
    flags = launch.parse_flags(["--hosted", "--upload-mb", "3"])
    assert (flags.hosted, flags.password, flags.log_words, flags.upload_mb) == (True, "open sesame", True, 3)


def test_a_limit_that_is_none_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMDIFF_QUEUE", "many")
    with pytest.raises(SystemExit, match="MMDIFF_QUEUE must be a whole number"):
        app.main([])


def test_temporary_files_get_a_folder_of_their_own_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/somewhere")
    assert launch.set_environment() is None
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    folder = launch.set_environment()
    assert folder is not None
    assert os.environ["GRADIO_TEMP_DIR"] == str(folder.files)
    folder.remove()


def test_a_space_with_lent_gpus_loads_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decorator moves the model; half precision is chosen for the GPU."""
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    spaces = types.ModuleType("spaces")
    spaces.GPU = lambda duration: lambda work: work  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    asked: list[argparse.Namespace] = []
    monkeypatch.setattr(launch, "load_model", lambda flags: asked.append(flags) or StandIn())
    placed: list[object] = []
    monkeypatch.setattr(zero_gpu, "place_on_loan", lambda model: placed.append(model) or model)
    launch.load_service(launch.parse_flags([]), local_limits())
    assert (asked[0].device, asked[0].dtype, asked[0].offload) == ("cpu", "float16", "none")
    assert len(placed) == 1  # before the page is served


def test_the_login_form_of_a_space_points_to_a_tab_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.login_message({}) is None
    told = launch.login_message({"SPACE_HOST": "somebody-studio.hf.space"})
    assert told is not None
    assert told.count('<a href="https://somebody-studio.hf.space" target="_blank" rel="noopener" ') == 4
    assert "open the page in its own tab</a>" in told
    assert "{" not in told


def test_a_password_and_its_message_reach_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "somebody-studio.hf.space")
    monkeypatch.setattr(launch, "wait_for_signal", lambda: None)
    given: dict[str, object] = {}
    service = types.SimpleNamespace(end_runs=lambda _: True)
    page = types.SimpleNamespace(
        launch=lambda **options: given.update(options), service=service, local_url="http://127.0.0.1:7860/"
    )
    launch.serve(page, {}, launch.parse_flags(["--password", "sesame"]), None)  # type: ignore[arg-type]
    assert given["auth"] == ("guest", "sesame")
    assert "somebody-studio.hf.space" in str(given["auth_message"])
