"""What happened, one line each, for whoever runs the app: numbers and kinds, never what people wrote or showed.

With ``words`` the prompts and the messages that quote them are told as well.
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
_OUR_OWN = Path(__file__).parents[2]


class EventLog:
    """Tells events with their numbers.

    Args:
        words: whether prompts, names and messages may stand in the log.
    """

    def __init__(self, words: bool = False) -> None:
        self.words = words

    def log(self, event: str, **numbers: Any) -> None:
        """An event of the session that is being served, if any."""
        logger.info(event, extra={"facts": {"event": event, "session": session_mark(), **numbers}})

    def failed(self, event: str, error: BaseException, **numbers: Any) -> None:
        """An event that ended in an error; messages quote what people wrote, so only the kind of error is told."""
        numbers |= {"error": type(error).__name__}
        if self.words:
            numbers |= {"message": str(error)}
        logger.warning(event, extra={"facts": {"event": event, "session": session_mark(), **numbers}})

    def unhandled(self, number: str, error: BaseException) -> None:
        """An error that nobody foresaw, with the line of every frame; ``number`` is what the visitor was told."""
        facts = {"event": "crashed", "session": session_mark(), "number": number, "error": type(error).__name__}
        logger.error("crashed", extra={"facts": {**facts, "frames": _frames(error)}})

    def request_facts(self, request: GenerateRequest) -> dict[str, Any]:
        """What may be told of a request."""
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
    """A short name for the session that is being served, which tells nothing about it; None outside of one."""
    request = LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    return hashlib.sha256(session.encode()).hexdigest()[:8] if isinstance(session, str) else None


class JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None) or {"event": "log", "text": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            facts = {**facts, "error": record.exc_info[0].__name__, "frames": _frames(record.exc_info[1])}  # type: ignore[union-attr]
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        head = {"time": at, "level": record.levelname, "logger": record.name}
        return json.dumps({**head, **facts}, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", None)
        if facts is None:
            return super().format(record)
        told = (f"{name}={value}" for name, value in facts.items() if name != "event" and value is not None)
        return " ".join([f"{record.levelname} {facts['event']}", *told])


def set_up_logging(kind: Format) -> None:
    """Send the log to stderr in the format that was asked for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else TextLines("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is up


def _frames(error: BaseException) -> Sequence[str]:
    """File, line and function of every frame, our own files by their place in the project."""
    return [
        f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]


def _short(path: str) -> str:
    file = Path(path)
    return str(file.relative_to(_OUR_OWN)) if file.is_relative_to(_OUR_OWN) else file.name
