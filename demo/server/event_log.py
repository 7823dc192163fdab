"""The event log for whoever runs the app, one line per event: numbers and kinds, never what people wrote or uploaded.

With ``words`` it also has the prompts and the messages that quote them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from gradio.context import LocalContext

from mmdiff_core.types import GenerateRequest

logger = logging.getLogger("mmdiff.events")

Format = Literal["text", "json"]
_PROJECT = Path(__file__).parents[2]


class EventLog:
    """Logs events with their numbers.

    Args:
        words: whether prompts, names and messages are logged as well.
    """

    def __init__(self, words: bool = False) -> None:
        self.words = words

    def log(self, event: str, **numbers: Any) -> None:
        """Log an event of the session that is being served, if there is one."""
        logger.info(event, extra={"facts": {"event": event, "session": session_mark(), **numbers}})

    def failed(self, event: str, error: BaseException, **numbers: Any) -> None:
        """Log an event that ended in an error: only its kind, because messages quote what people wrote."""
        numbers |= {"error": type(error).__name__}
        if self.words:
            numbers |= {"message": str(error)}
        logger.warning(event, extra={"facts": {"event": event, "session": session_mark(), **numbers}})

    def unhandled(self, number: str, error: BaseException) -> None:
        """Log an unexpected error with the line of every frame; ``number`` is the one that the visitor sees."""
        facts = {"event": "crashed", "session": session_mark(), "number": number, "error": type(error).__name__}
        logger.error("crashed", extra={"facts": {**facts, "frames": _frames(error)}})

    def request_facts(self, request: GenerateRequest) -> dict[str, Any]:
        """Return what may be logged of a request."""
        numbers: dict[str, Any] = {
            "pictures": len(request.seeds),
            "subjects": len(request.subjects),
            "photos": sum(len(subject.photos) for subject in request.subjects),
            "prompt_characters": len(request.prompt),
            "steps": request.steps,
            "width": request.width,
            "height": request.height,
        }
        if self.words:
            numbers |= {"prompt": request.prompt, "names": [subject.name for subject in request.subjects]}
        return {name: value for name, value in numbers.items() if value is not None}


def session_mark() -> str | None:
    """Return a short name for the session that is being served, which reveals nothing about it; None outside of one."""
    request = LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    return hashlib.sha256(session.encode()).hexdigest()[:8] if isinstance(session, str) else None


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None) or {"event": "log", "text": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            facts = {**facts, "error": record.exc_info[0].__name__, "frames": _frames(record.exc_info[1])}  # type: ignore[union-attr]
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"time": at, "level": record.levelname, "logger": record.name}
        return json.dumps({**head, **facts}, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """Formats a log record as one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None)
        if facts is None:
            return super().format(record)
        words = (f"{name}={value}" for name, value in facts.items() if name != "event" and value is not None)
        return " ".join([f"{record.levelname} {facts['event']}", *words])


def set_up_logging(form: Format) -> None:
    """Send the log to stderr in one of the formats."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up


def _frames(error: BaseException) -> Sequence[str]:
    """Return file, line and function of every frame; our own files by their path in the project."""
    return [
        f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]


def _short(path: str) -> str:
    file = Path(path)
    return str(file.relative_to(_PROJECT)) if file.is_relative_to(_PROJECT) else file.name
