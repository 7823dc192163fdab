"""The settings that a training run was started with, so that it continues with the same ones or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdiff_core.atomic_files import write_text
from mmdiff_core.errors import SettingsError

FILE = "run.json"
# Earlier versions wrote these names.
OLD_NAMES = {
    "rate": "lr",
    "decay": "weight_decay",
    "clip": "max_grad_norm",
    "within": "time_budget",
    "most_validation": "max_validation",
}


def check_run_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Check that the run in a folder was started with these settings; a folder without a ``run.json`` passes.

    Raises:
        SettingsError: it was started with others; the message names one that differs.
    """
    path = folder / FILE
    if not path.exists():
        return
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f'The file "{path}" is damaged: choose another --out.') from error
    before, now = dict(_flatten(stored)), dict(_flatten(json.loads(json.dumps(config))))
    for name in before | now:
        if before.get(name) != now.get(name):
            raise SettingsError(
                f'The run in "{folder}" was started with {name} {before.get(name)}, not {now.get(name)}: repeat the '
                "command that started it, or choose another --out."
            )


def write_run_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the settings that later starts must keep into the run's folder."""
    write_text(folder / FILE, json.dumps(config, indent=2) + "\n")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with the path of its names, under today's names."""
    for old, value in values.items():
        name = f"{prefix}{OLD_NAMES.get(old, old)}"
        if isinstance(value, dict):
            yield from _flatten(value, f"{name} ")
        else:
            yield name, value
