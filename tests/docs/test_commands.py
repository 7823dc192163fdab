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

from demo.server import launch
from mmdiff_core.cli.main import COMMANDS
from tests.helpers.command_line import all_parsers, flags_of
from tests.helpers.documents import CHANGELOG, DOCUMENTS, commands, inline_code, of_program, read

TODAY = [document for document in DOCUMENTS if document != CHANGELOG]  # a changelog names what there was
FOREIGN = {  # of torchrun, the hub's client, node and pytest
    *("--nnodes", "--node-rank", "--master-addr", "--repo-type", "--test"),
    *("--all", "--rest", "--long", "--nproc-per-node"),
}


def _name(document: Path) -> str:
    return document.name


@cache
def _app_flags() -> set[str]:
    with redirect_stdout(StringIO()) as out, suppress(SystemExit):
        launch.parse_flags(["--help"])
    return _flags(out.getvalue())


def _flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--\w[\w-]*", text))


def _programs(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield a command's name and its words for everything in a document that starts one of ours."""
    inline = (shlex.split(code) for code in inline_code(read(document)) if re.match(r"(python|torchrun) ", code))
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
            launch.parse_flags(arguments)
            known = _app_flags()
        else:
            parsers = all_parsers(command)
            words = next(words for words in parsers if [*words] == arguments[: len(words)])
            parsers[words].parse_args(arguments[len(words) :])
            known = set(flags_of(parsers[words]))
        assert _flags(" ".join(arguments)) <= known, arguments


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_flags_in_sentences_exist(document: Path) -> None:
    known = {flag for parser in all_parsers().values() for flag in flags_of(parser)} | _app_flags()
    named = {flag for code in inline_code(read(document)) for flag in _flags(code)}
    assert named <= known | FOREIGN


def test_every_command_is_documented() -> None:
    named = {command for document in TODAY for command, _ in _programs(document)}
    assert named >= set(COMMANDS)
