from __future__ import annotations

import subprocess
import sys

import pytest

import app
from mmdiff_core.errors import ModelError


def test_flags_default_to_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_SERVER_NAME", raising=False)
    monkeypatch.delenv("GRADIO_SERVER_PORT", raising=False)
    flags = app.parse_flags([])
    assert (flags.host, flags.port, flags.model, flags.share) == ("127.0.0.1", 7860, "toybox", False)


def test_a_space_says_where_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "8080")
    flags = app.parse_flags([])
    assert (flags.host, flags.port) == ("0.0.0.0", 8080)
    assert app.parse_flags(["--port", "1234"]).port == 1234


def test_a_missing_model_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> None:
        raise ModelError("There is no such model: get it with ...")

    monkeypatch.setattr(app, "load", missing)
    with pytest.raises(SystemExit, match="There is no such model"):
        app.main([])


def test_importing_the_app_does_nothing() -> None:
    code = "import sys, app; assert 'gradio' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
