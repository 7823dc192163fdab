"""Every command and flag in the documentation exists, under its own name and not under an old one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

import app
from mmdiff_core.cli.main import COMMANDS, build_parser
from tests.helpers.documents import CHANGELOG, DOCUMENTS, commands, inline_code, of_program, read

TODAY = [document for document in DOCUMENTS if document != CHANGELOG]  # a changelog names what there was
FOREIGN = {  # of accelerate, the hub's client, node and pytest
    *("--num_processes", "--num_machines", "--machine_rank", "--main_process_ip", "--cpu", "--repo-type", "--test"),
    *("--all", "--long"),
}


def _name(document: Path) -> str:
    return document.name


@cache
def _help(command: str) -> str:
    """Return what ``--help`` prints, which leaves out the old names of flags."""
    with redirect_stdout(StringIO()) as out, suppress(SystemExit):
        if command == "app.py":
            app.parse_flags(["--help"])
        else:
            build_parser(command).parse_args([command, "--help"])
    return out.getvalue()


def _flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--\w[\w-]*", text))


def _programs(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a command's name and its words for everything in a document that starts one of ours."""
    inline = (shlex.split(code) for code in inline_code(read(document)) if re.match(r"(python|accelerate) ", code))
    for words in (*commands(read(document)), *inline):
        arguments = of_program(words)
        if "..." in words:
            continue
        if arguments:
            yield arguments[0], arguments
        elif "app.py" in words:
            yield "app.py", words[words.index("app.py") + 1 :]


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_commands_can_be_read(document: Path) -> None:
    for command, arguments in _programs(document):
        if command == "app.py":
            app.parse_flags(arguments)
        else:
            assert command in COMMANDS
            build_parser(command).parse_args(arguments)
        assert _flags(" ".join(arguments)) <= _flags(_help(command)), arguments


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_flags_in_sentences_exist(document: Path) -> None:
    known = {flag for command in (*COMMANDS, "app.py") for flag in _flags(_help(command))}
    named = {flag for code in inline_code(read(document)) for flag in _flags(code)}
    assert named <= known | FOREIGN


def test_every_command_is_documented() -> None:
    named = {command for document in TODAY for command, _ in _programs(document)}
    assert named >= set(COMMANDS)
