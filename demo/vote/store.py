"""Votes on blind pairs: where they are kept, and what they add up to.

An answer names the two variants, never a photo, a prompt, a name or a picture.
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from demo.compare.variants import VariantLabel
from mmdiff_core.errors import SettingsError
from mmdiff_core.referee.metrics import Estimate, proportion

Preference = Literal["first", "second", "neither"]
CHOICES: tuple[Preference, ...] = ("first", "second", "neither")
QUESTIONS = ("subject", "text", "better")  # more like the subject, nearer to the text, better
OFF = "off"
VARIABLE = "MMDIFF_VOTES"
_TABLE = """
CREATE TABLE IF NOT EXISTS votes (
    at TEXT NOT NULL, model TEXT NOT NULL, question TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL,
    choice TEXT NOT NULL, left_side TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class Vote:
    """One answer. ``first`` and ``second`` are variants as :func:`variant_key` writes them, in alphabetical order.

    ``left_side`` is the one of them that stood on the left.
    """

    at: str  # UTC, ISO 8601
    model: str
    question: str
    first: str
    second: str
    choice: Preference
    left_side: Preference


@dataclass(frozen=True)
class Tally:
    """The answers to one question about a pair of a model's variants. ``share`` of the decided ones chose ``first``."""

    model: str
    question: str
    first: str
    second: str
    wins: int  # of the first
    losses: int
    ties: int
    share: Estimate


def votes_file(wish: str | None, hosted: bool = False, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where votes are kept: the flag, else the variable, else the user's own folder; None: there is no Vote tab.

    A page that is hosted for others, such as a Space (SPACE_ID is set), has none unless the flag or the variable names
    a file.
    """
    wish = wish or environment.get(VARIABLE)
    if wish == OFF or (not wish and (hosted or environment.get("SPACE_ID"))):
        return None
    return Path(wish).expanduser() if wish else _home(environment) / "mmdiff-studio" / "votes.sqlite3"


def _home(environment: Mapping[str, str]) -> Path:
    """Return where programs keep a user's data on this system."""
    if sys.platform == "win32":
        return Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support"
    return Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local/share")


def variant_key(labels: Sequence[VariantLabel]) -> str:
    """Return the key of a variant, ``strength=0.5;delay=2``, without its seed and without names of subjects."""
    named = (VariantLabel("without_one_subject") if label.key == "without_subject" else label for label in labels)
    return ";".join(f"{key}={value}" if value else key for key, value in named if key != "seed")


def variant_labels(variant_key: str) -> list[VariantLabel]:
    """Return the labels of a key that :func:`variant_key` made."""
    return [VariantLabel(*part.split("=", 1)) for part in variant_key.split(";") if part]


class VoteStore:
    """Votes in an SQLite file, which is made with the first one and opened only while it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, votes: Sequence[Vote]) -> None:
        """Add answers.

        Raises:
            SettingsError: the file cannot be written.
        """
        places = ", ".join("?" for _ in fields(Vote))
        with self._open() as file:
            file.executemany(f"INSERT INTO votes VALUES ({places})", [astuple(vote) for vote in votes])

    def all(self) -> list[Vote]:
        """Return every answer in their order.

        Raises:
            SettingsError: the file cannot be read.
        """
        if not self.path.exists():
            return []
        with self._open() as file:
            return [Vote(*row) for row in file.execute("SELECT * FROM votes ORDER BY rowid")]

    def clear(self) -> None:
        """Delete every answer.

        Raises:
            SettingsError: the file cannot be written.
        """
        if self.path.exists():
            with self._open() as file:
                file.execute("DELETE FROM votes")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open the file; commits at the end, rolls back on an error."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=10)) as file, file:
                file.execute(_TABLE)
                yield file
        except (sqlite3.Error, OSError) as error:
            why = error.strerror if isinstance(error, OSError) else error  # without the path
            raise SettingsError(
                f"The votes in {self.path.name} cannot be read or written ({why}): start the app with --votes and "
                "another file."
            ) from error


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def tally(votes: Sequence[Vote]) -> list[Tally]:
    """Count the answers by model, pair of variants and question, with Wilson's interval for the decided ones."""
    pairs = sorted({(vote.model, vote.first, vote.second) for vote in votes})
    counts = Counter((vote.model, vote.first, vote.second, vote.question, vote.choice) for vote in votes)
    found = []
    for model, first, second in pairs:
        for question in QUESTIONS:
            wins, losses, ties = (counts[model, first, second, question, choice] for choice in CHOICES)
            if wins + losses + ties:
                share = proportion([True] * wins + [False] * losses)
                found.append(Tally(model, question, first, second, wins, losses, ties, share))
    return found


def as_csv(votes: Sequence[Vote]) -> str:
    """Return a line per answer, after a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Vote))
    writer.writerows(map(astuple, votes))
    return text.getvalue()
