"""What a training run was begun with, so that it goes on with the same or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmdiff_core.atomic_files import write_text
from mmdiff_core.errors import SettingsError

FILE = "run.json"


def check_same(folder: Path, now: Mapping[str, Any]) -> None:
    """Whether the run in a folder was begun with these settings; a folder that does not say is let pass.

    Raises:
        SettingsError: it was not; the message names a setting that differs.
    """
    kept = folder / FILE
    if not kept.exists():
        return
    try:
        begun = json.loads(kept.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f'The file "{kept}" is damaged: choose another --out.') from error
    before, new = dict(_flat(begun)), dict(_flat(json.loads(json.dumps(now))))
    for name in before | new:
        if before.get(name) != new.get(name):
            raise SettingsError(
                f'The run in "{folder}" was begun with {name} {before.get(name)}, not {new.get(name)}: go on with the '
                "command that began it, or choose another --out."
            )


def leave(folder: Path, now: Mapping[str, Any]) -> None:
    """Note in a run's folder what it was begun with."""
    write_text(folder / FILE, json.dumps(now, indent=2) + "\n")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value
