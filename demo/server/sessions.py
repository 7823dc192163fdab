"""Sessions, and the temporary files that each claims: a file goes when the last session that claims it has expired."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.context import LocalContext
from gradio.queueing import Queue
from gradio.routes import App
from gradio.utils import get_upload_folder, is_in_or_equal

if TYPE_CHECKING:
    from demo.server.service import Service

SWEEP_S = 20.0
BROKEN_UPLOAD_S = 120.0  # without a byte
YOUNG_FILE_S = 60.0  # a file this new may be another visitor's upload of the same content, not claimed yet


class Sessions:
    """Sessions and their files.

    A session lives while its tab holds a connection open (Gradio's heartbeat), and for some time after it was last
    seen, so that a reload or a lost connection loses nothing.

    Args:
        keep_s: how long that is, in seconds.
        folder: the folder of temporary files, if nothing else writes there: unclaimed old files are removed as well.
        clock: seconds since the epoch, as in the times of files.
    """

    def __init__(self, keep_s: float, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.keep_s, self.folder, self.clock = keep_s, folder, clock
        self._connections: dict[str, int] = {}  # how many of each session are open
        self._last_seen: dict[str, float] = {}
        self._files: dict[str, set[Path]] = {}
        self._spared: set[Path] = set()  # to be removed, but written to just now
        self.on_expiry: list[Callable[[set[str]], None]] = []  # told of the sessions that have expired
        self._lock = threading.Lock()

    def connect(self, session: str) -> None:
        """Note that a connection of a session was opened."""
        with self._lock:
            self._connections[session] = self._connections.get(session, 0) + 1
            self._last_seen[session] = self.clock()

    def disconnect(self, session: str) -> None:
        """Note that a connection of a session was closed."""
        with self._lock:
            left = self._connections.pop(session, 1) - 1
            self._connections |= {session: left} if left > 0 else {}
            self._last_seen[session] = self.clock()

    def is_connected(self, session: str) -> bool:
        """Whether a session has an open connection."""
        return session in self._connections

    def claim(self, session: str, paths: Iterable[str | Path]) -> None:
        """Claim files for a session; those outside the folder of temporary files do not count."""
        own = [Path(path) for path in paths if is_temporary(path)]
        with self._lock:
            self._last_seen[session] = self.clock()
            self._files.setdefault(session, set()).update(own)

    def sweep(self, known: Iterable[str] = (), waiting: Iterable[str] = ()) -> set[str]:
        """Remove the files of expired sessions.

        Args:
            known: further sessions that Gradio keeps data of.
            waiting: sessions with a request that waits or runs; they live even without a connection.

        Returns:
            The expired sessions.
        """
        with self._lock:
            now = self.clock()
            for session in known:
                self._last_seen.setdefault(session, now)
            self._last_seen |= dict.fromkeys(waiting, now)
            silent = {session for session, seen in self._last_seen.items() if now - seen > self.keep_s}
            expired = silent - self._connections.keys()
            freed = {path for session in expired for path in self._files.pop(session, ())}
            for session in expired:
                del self._last_seen[session]
            unclaimed = (freed | self._old_files(now) | self._spared) - self.claimed()
            self._spared = {path for path in unclaimed if now - _written(path) < min(YOUNG_FILE_S, self.keep_s)}
            for path in unclaimed - self._spared:
                _remove(path, self.folder)
        for forget in self.on_expiry:
            forget(expired)
        return expired

    def expire_all(self) -> None:
        """Let every session count as long gone."""
        with self._lock:
            self._connections.clear()
            self._last_seen = dict.fromkeys(self._last_seen, 0.0)

    def claimed(self) -> set[Path]:
        """Return the files that any session claims."""
        return {path for files in self._files.values() for path in files}

    def __len__(self) -> int:
        """Count the sessions."""
        return len(self._last_seen)

    def _old_files(self, now: float) -> set[Path]:
        """Return old files that nobody may have claimed: broken uploads, and answers to programs."""
        files = self.folder.rglob("*") if self.folder else ()
        return {path for path in files if path.is_file() and now - _written(path) > self._kept_s(path)}

    def _kept_s(self, path: Path) -> float:
        """Return for how long an unclaimed file is kept: broken uploads, which lie in the folder itself, for less."""
        return min(self.keep_s, BROKEN_UPLOAD_S) if path.parent == self.folder else self.keep_s


def is_temporary(path: str | Path) -> bool:
    """Whether a path leads into the folder of temporary files."""
    try:
        return is_in_or_equal(path, get_upload_folder())
    except (ValueError, OSError):  # not a path
        return False


def is_connected(session: str) -> bool:
    """Whether a session of the page that is being served has an open connection."""
    page = LocalContext.blocks.get(None)
    return isinstance(page, Page) and page.sessions.is_connected(session)


def waiting_requests(queue: str) -> int:
    """Count the requests that wait in a queue of the page that is being served."""
    page = LocalContext.blocks.get(None)
    known = page._queue.event_queue_per_concurrency_id if isinstance(page, Page) else {}
    return len(known[queue].queue) if queue in known else 0


class Page(gr.Blocks):
    """The page, with the service behind it and the sessions on it."""

    service: Service
    sessions: Sessions


def claim(*paths: str | Path) -> None:
    """Claim files for the session that is being served."""
    page, request = LocalContext.blocks.get(None), LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    if isinstance(page, Page) and isinstance(session, str):
        page.sessions.claim(session, paths)


def swept_regularly(sessions: Sessions, every_s: float = SWEEP_S) -> Callable[[App], Any]:
    """Return the lifespan of an app that forgets expired sessions regularly, and makes Gradio forget them."""

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep_forever(sessions, app, every_s))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return lifespan


async def _sweep_forever(sessions: Sessions, app: App, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        expired = await asyncio.to_thread(sessions.sweep, *_known(app))  # in a thread: there may be thousands of files
        _forget(app, expired)
        if expired:
            await asyncio.to_thread(_return_memory)


def sweep_once(sessions: Sessions, app: App) -> set[str]:
    """Forget the expired sessions and return them.

    Gradio keeps some hundred kilobytes of every session for ever; here they go with the session.
    """
    expired = sessions.sweep(*_known(app))
    _forget(app, expired)
    return expired


def _known(app: App) -> tuple[set[str], set[str]]:
    """Return the sessions that Gradio keeps data of, and those with requests that wait or run."""
    queue = app.get_blocks()._queue
    return {*list(app.state_holder.session_data), *list(queue.pending_event_ids_session)}, _at_work(queue)


def _forget(app: App, expired: set[str]) -> None:
    holder, queue = app.state_holder, app.get_blocks()._queue
    for session in expired:
        holder.delete_state(session)
        with holder.lock:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)
        queue.pending_messages_per_session.pop(session, None)
        for event in queue.pending_event_ids_session.pop(session, ()):  # answers that were never fetched
            queue.event_ids_to_events.pop(event, None)
    for files in app.get_blocks().temp_file_sets:  # only names, but for ever
        files.difference_update([path for path in list(files) if not Path(path).exists()])


def _at_work(queue: Queue) -> set[str]:
    """Return the sessions with requests that wait or run."""
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in list(each.queue)]
    running = [event for job in queue.active_jobs for event in job or ()]
    return {event.session_hash for event in (*waiting, *running) if event.session_hash}


def _return_memory() -> None:
    """Return freed memory that the C library has kept, such as that of large photos, to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _written(path: Path) -> float:
    """Return when a file was written; long ago if it does not exist."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path, root: Path | None) -> None:
    """Remove a file, and the folder below ``root`` that Gradio made for it alone."""
    path.unlink(missing_ok=True)
    if path.parent != root:
        with contextlib.suppress(OSError):  # other files are in it
            path.parent.rmdir()
