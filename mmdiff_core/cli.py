"""The command line: one module per command, imported only when it is asked for, so that the start is quick.

A command's module has ``add_parser(subparsers)``, which gives its parser ``set_defaults(run=...)``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from mmdiff_core.errors import MMDiffError

COMMANDS = {
    "generate": "mmdiff_core.generate",
    "models": "mmdiff_core.models",
    "convert": "mmdiff_core.models",
    "toy": "mmdiff_core.toybox.cli",
    "sheet": "mmdiff_core.toybox.cli",
    "showcase": "mmdiff_core.showcase",
    "train": "mmdiff_core.training.cli",
    "export": "mmdiff_core.training.cli",
    "pack": "mmdiff_core.training.cli",
    "annotate": "mmdiff_core.training.annotate.cli",
    "evaluate": "mmdiff_core.evaluation.cli",
    "benchmark": "mmdiff_core.benchmarks.cli",
    "presets": "mmdiff_core.benchmarks.cli",
    "train-referee": "mmdiff_core.evaluation.cli",
    "ablate": "mmdiff_core.evaluation.ablation.cli",
    "limits": "mmdiff_core.evaluation.limits.cli",
    "dryrun": "mmdiff_core.benchmarks.dryrun_cli",
}
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. What a person can put right ends in one sentence on stderr and code 2."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # it tells on import what it does without
    chosen = build_parser(arguments[0] if arguments else None).parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except MMDiffError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except OSError as error:  # such as a file where a folder is to be
        name = f'"{error.filename}": ' if error.filename else ""
        sys.stderr.write(f"{name}{error.strerror or error}.\n")
        return BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what was finished is kept.\n")
        return INTERRUPTED


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser of one command, or of all of them for any other word."""
    parser = argparse.ArgumentParser(prog="python -m mmdiff_core", description="Pictures of your own subjects.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    needed = [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values())
    for module in needed:
        import_module(module).add_parser(subparsers)
    return parser
