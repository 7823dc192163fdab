"""Every command has help that starts quickly, and errors that the user can fix are one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmdiff_core.cli.main import BAD_INPUT, COMMANDS, INTERRUPTED, main
from mmdiff_core.errors import ModelError
from tests.helpers.command_line import all_parsers
from tests.helpers.paths import ROOT


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), *((command,) for command in COMMANDS), *all_parsers()):
        with pytest.raises(SystemExit) as caught:
            main([*words, "--help"])
        assert caught.value.code == 0
        assert " ".join(("usage: python -m mmdiff_core", *words)) in capsys.readouterr().out


def test_every_flag_says_what_it_is() -> None:
    for words, parser in all_parsers().items():
        for action in parser._actions:
            assert action.help, (words, action.option_strings)


def test_help_starts_without_torch() -> None:
    code = "import sys; from mmdiff_core.cli.main import build_parser; build_parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_file_in_place_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["toy", "--class", "cat", "--seed", "1", "--out", str(tmp_path / "file" / "toys")]) == BAD_INPUT
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ModelError("The model is not here."), BAD_INPUT, "The model is not here.\n"),
        (FileExistsError(17, "File exists", "out"), BAD_INPUT, '"out": File exists.\n'),
        (OSError("no route"), BAD_INPUT, "no route.\n"),
        (KeyboardInterrupt(), INTERRUPTED, "Stopped; finished work is kept.\n"),
    ],
)
def test_errors_are_one_sentence_and_a_code(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr("mmdiff_core.cli.showcase.run", fail)
    assert main(["showcase"]) == code
    assert capsys.readouterr().err == told


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmdiff_core.cli.showcase.run", lambda _: {}["a bug"])
    with pytest.raises(KeyError):
        main(["showcase"])
