"""Former spellings of commands and flags. They work for one more version and appear in no help text."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

from mmdiff_core.cli.train_sd import RECIPES as SD_RECIPES

COMMANDS = {"limits": "failure-cases", "sheet": "contact-sheets"}
SUITES = {"binding": "leakage"}
MODEL_FLAGS = {"--memory": "--offload"}
FLAGS: dict[str, dict[str, str]] = {
    "ablate": {"--rate": "--lr", "--start": "--model", "--pool": "--scenes"},
    "evaluate": {**MODEL_FLAGS, "--pictures": "--images", "--bindings": "--word-gating"},
    "failure-cases": {"--pictures": "--images"},
    "generate": {
        **MODEL_FLAGS,
        "--strength": "--scale",
        "--binding": "--word-gating",
        "--sampler": "--scheduler",
        "--pictures": "--images",
    },
    "presets": {"--ways": "--candidates"},
    "showcase": {"--pictures": "--images"},
    "toy": {"--noun": "--class"},
    "train": {
        "--start": "--init-from",
        "--within": "--time-budget",
        "--rate": "--lr",
        "--pool": "--scenes",
        "--board": "--tensorboard",
        "--no-board": "--no-tensorboard",
    },
    "train-referee": {"--start": "--init-from", "--pool": "--scenes"},
}


def current_spelling(arguments: Sequence[str]) -> list[str]:
    """Return a command line as it is spelled today, and say so on stderr where that differs."""
    if not arguments:
        return []
    command, *rest = arguments
    command = COMMANDS.get(command, command)
    rest = rename_flags(rest, FLAGS.get(command, {}))
    if command in SUBCOMMANDS and rest and rest[0].startswith("-") and not {"-h", "--help"} & set(rest):
        rest = SUBCOMMANDS[command](rest)
    if [command, *rest] != [*arguments]:
        sys.stderr.write(
            "This spelling will not work in the next version. The new one: "
            f"python -m mmdiff_core {shlex.join([command, *rest])}\n"
        )
    return [command, *rest]


def rename_flags(arguments: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Return the arguments with each former flag, ``--flag VALUE`` or ``--flag=VALUE``, under its present name."""
    parts = [argument.partition("=") for argument in arguments]
    return [names.get(flag, flag) + sign + value for flag, sign, value in parts]


def _evaluate_suite(arguments: list[str]) -> list[str]:
    """Turn ``--suite NAME ...`` into ``NAME ...``; the suite of the built-in model was the default."""
    suite, rest = _split_off(arguments, "--suite")
    return [SUITES.get(suite, suite) or "toybox", *rest]


def _train_model(arguments: list[str]) -> list[str]:
    """Add which model is trained, which the recipe used to decide."""
    recipe, _ = _split_off(arguments, "--recipe")
    return ["sd" if recipe in SD_RECIPES else "toybox", *arguments]


def _split_off(arguments: list[str], flag: str) -> tuple[str, list[str]]:
    """Return the value of a flag, or "", and the arguments without both."""
    for place, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2], arguments[:place] + arguments[place + 1 :]
        if argument == flag:
            return "".join(arguments[place + 1 : place + 2]), arguments[:place] + arguments[place + 2 :]
    return "", arguments


SUBCOMMANDS = {"evaluate": _evaluate_suite, "train": _train_model}
