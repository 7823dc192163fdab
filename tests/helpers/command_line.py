"""The commands of the project, those below ``train`` and ``evaluate`` included, for tests that go through all."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from mmdiff_core.cli.main import build_parser


def all_parsers(command: str | None = None) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """Return the parser of every command without subcommands, by its words such as ("train", "sd").

    Args:
        command: the one to begin with; all by default.
    """
    return dict(_leaves((), build_parser(command)))


def _leaves(
    words: tuple[str, ...], parser: argparse.ArgumentParser
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        for word, inner in action.choices.items():
            yield from _leaves((*words, word), inner)


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return every flag that a parser's help shows."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return [flag for action in shown for flag in action.option_strings]
