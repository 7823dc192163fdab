"""The folder of an evaluation, which a later start continues: settings.json, and a line of scores per prompt."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdiff_core.atomic_files import named_disk_errors, write_text
from mmdiff_core.errors import SettingsError

WEIGHTS = (".safetensors", ".bin")  # the official checkpoint has the latter


def claim_folder(folder: Path, settings: Mapping[str, object]) -> None:
    """Note in a folder what is evaluated in it.

    Raises:
        SettingsError: the folder contains another evaluation.
    """
    file, text = folder / "settings.json", json.dumps(settings, indent=2, default=str)
    if file.exists() and file.read_text() != text:
        raise SettingsError(
            f'The folder "{folder}" contains an evaluation with other settings, see its settings.json: choose another '
            "folder with --out, or remove this one."
        )
    write_text(file, text)


def append_prompt(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append the scores of all images of a finished prompt as one line."""
    with named_disk_errors(file), file.open("a") as opened:
        opened.write(json.dumps(rows) + "\n")


def read_prompts(file: Path) -> list[dict[str, Any]]:
    """Read the scores of all finished prompts."""
    return [row for line in _lines(file) for row in json.loads(line)]


def repair(file: Path) -> None:
    """Remove a last line that an interruption cut short."""
    lines = _lines(file)
    if lines and not lines[-1].endswith("\n"):
        write_text(file, "".join(lines[:-1]))


def weights_fingerprint(path: Path) -> str:
    """Return the first twelve digits of a hash over all weights in a folder, or over one file."""
    digest = hashlib.sha256()
    inside = (file for file in path.rglob("*") if file.suffix in WEIGHTS)
    for file in [path] if path.is_file() else sorted(inside):
        with file.open("rb") as opened:
            while part := opened.read(2**24):
                digest.update(part)
    return digest.hexdigest()[:12]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines(keepends=True) if file.exists() else []
