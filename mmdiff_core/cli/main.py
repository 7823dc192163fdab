"""The command line: one module per command, imported only when it runs, so that the start is quick.

A command's module has ``add_parser(subparsers)``, which gives its parser ``set_defaults(run=...)``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from mmdiff_core.cli.aliases import current_spelling
from mmdiff_core.errors import MMDiffError

COMMANDS = {
    "generate": "mmdiff_core.cli.generate",
    "attention": "mmdiff_core.cli.attention",
    "models": "mmdiff_core.cli.models",
    "convert": "mmdiff_core.cli.models",
    "toy": "mmdiff_core.cli.toys",
    "contact-sheets": "mmdiff_core.cli.toys",
    "showcase": "mmdiff_core.cli.showcase",
    "train": "mmdiff_core.cli.train",
    "export": "mmdiff_core.cli.train",
    "pack": "mmdiff_core.cli.train",
    "annotate": "mmdiff_core.cli.annotate",
    "evaluate": "mmdiff_core.cli.evaluate",
    "benchmark": "mmdiff_core.cli.benchmark",
    "presets": "mmdiff_core.cli.benchmark",
    "train-referee": "mmdiff_core.cli.train_referee",
    "ablate": "mmdiff_core.cli.ablate",
    "failure-cases": "mmdiff_core.cli.failure_cases",
    "dryrun": "mmdiff_core.cli.dryrun",
}
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; an error that the user can fix is one sentence on stderr and code 2."""
    arguments = current_spelling(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # on import it reports missing extras
    chosen = build_parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except MMDiffError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except OSError as error:  # such as a file in place of a folder
        name = f'"{error.filename}": ' if error.filename else ""
        sys.stderr.write(f"{name}{error.strerror or error}.\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; finished work is kept.\n")
        return INTERRUPTED


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of one command, or of all of them for any other word."""
    parser = argparse.ArgumentParser(prog="python -m mmdiff_core", description="Generate images of your own subjects.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    needed = [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values())
    for module in needed:
        import_module(module).add_parser(subparsers)
    return parser
