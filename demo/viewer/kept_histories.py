"""Histories by keys that only their browser knows, so that a reload, or a later visit, finds its pictures again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any

from demo.server.limits import Limits
from demo.viewer.history import History

TAB, BROWSER = "tab", "browser"  # which of a browser's two storages a key comes from


@dataclass
class KeptHistory:
    """A history and the sessions that show it."""

    history: History
    sessions: set[str] = field(default_factory=set)


class KeptHistories:
    """The histories of all sessions that have not expired."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: dict[str, KeptHistory] = {}
        self._lock = threading.Lock()

    def attach(self, session: str, keys: object, is_connected: Callable[[str], bool]) -> tuple[str, History]:
        """Return the key and the history of a session that begins.

        Args:
            session: that begins.
            keys: {"tab", "browser"}, as the browser kept them. The tab's own counts wherever it is known: after a lost
                connection the former session may still look connected. That of the browser counts only if no tab shows
                it: two tabs have histories of their own.
            is_connected: whether a session has an open connection.
        """
        with self._lock:
            for place in (TAB, BROWSER):
                key = keys.get(place) if isinstance(keys, dict) else None
                kept = self._kept.get(key) if isinstance(key, str) else None
                if kept and (place == TAB or not any(map(is_connected, kept.sessions - {session}))):
                    kept.sessions.add(session)
                    return str(key), kept.history
            new = token_urlsafe(24)
            self._kept[new] = KeptHistory(History(self._limits), {session})
            return new, self._kept[new].history

    def forget(self, sessions: set[str]) -> None:
        """Forget the histories that none but expired sessions have shown."""
        with self._lock:
            for key, kept in list(self._kept.items()):
                kept.sessions -= sessions
                if not kept.sessions:
                    del self._kept[key]

    def __len__(self) -> int:
        """Count the histories."""
        return len(self._kept)


def key_record(key: str) -> dict[str, Any]:
    """Return a history's key for both storages of its browser."""
    return {TAB: key, BROWSER: key}
