"""Who is here, and which of the temporary files are theirs: these go when the last who holds them has gone."""

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
JUST_CAME_S = 60.0  # a file so new may be somebody else's upload of the same, who has not named it yet


class Sessions:
    """Sessions and their files.

    A session is here while its tab holds a line open (Gradio's heartbeat), and for a while after it was last heard of,
    so that a reload or a lost connection loses nothing.

    Args:
        keep_s: how long that while is, in seconds.
        folder: where temporary files are, if nobody else writes there: what nobody holds is then removed, too.
        clock: seconds since the epoch, as files count them.
    """

    def __init__(self, keep_s: float, folder: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.keep_s, self.folder, self.clock = keep_s, folder, clock
        self._lines: dict[str, int] = {}  # open lines of each session
        self._heard: dict[str, float] = {}
        self._files: dict[str, set[Path]] = {}
        self._spared: set[Path] = set()  # to be removed, but just written again
        self._lock = threading.Lock()

    def connect(self, session: str) -> None:
        """A line is open."""
        with self._lock:
            self._lines[session] = self._lines.get(session, 0) + 1
            self._heard[session] = self.clock()

    def disconnect(self, session: str) -> None:
        """A line is closed."""
        with self._lock:
            left = self._lines.pop(session, 1) - 1
            self._lines |= {session: left} if left > 0 else {}
            self._heard[session] = self.clock()

    def is_connected(self, session: str) -> bool:
        """Whether a line is open."""
        return session in self._lines

    def claim(self, session: str, paths: Iterable[str | Path]) -> None:
        """These files are a session's, too; those outside of the folder of temporary files do not count."""
        own = [Path(path) for path in paths if is_temporary(path)]
        with self._lock:
            self._heard[session] = self.clock()
            self._files.setdefault(session, set()).update(own)

    def sweep(self, known: Iterable[str] = (), waiting: Iterable[str] = ()) -> set[str]:
        """Remove the files of those who have gone.

        Args:
            known: further sessions that something is kept of.
            waiting: sessions whose request waits or is at work, which are here even without a line.

        Returns:
            Those who have gone.
        """
        with self._lock:
            now = self.clock()
            for session in known:
                self._heard.setdefault(session, now)
            self._heard |= dict.fromkeys(waiting, now)
            gone = {who for who, at in self._heard.items() if who not in self._lines and now - at > self.keep_s}
            freed = {path for session in gone for path in self._files.pop(session, ())}
            for session in gone:
                del self._heard[session]
            unheld = (freed | self._forgotten(now) | self._spared) - self.claimed()
            self._spared = {path for path in unheld if now - _written(path) < min(JUST_CAME_S, self.keep_s)}
            for path in unheld - self._spared:
                _remove(path)
        return gone

    def expire_all(self) -> None:
        """As if everybody had gone long ago."""
        with self._lock:
            self._lines.clear()
            self._heard = dict.fromkeys(self._heard, 0.0)

    def claimed(self) -> set[Path]:
        """Files of anybody."""
        return {path for files in self._files.values() for path in files}

    def __len__(self) -> int:
        """How many sessions are remembered."""
        return len(self._heard)

    def _forgotten(self, now: float) -> set[Path]:
        """Old files, which nobody may have named since: half uploads, and answers to programs."""
        files = self.folder.rglob("*") if self.folder else ()
        return {path for path in files if path.is_file() and now - path.stat().st_mtime > self.keep_s}


def is_temporary(path: str | Path) -> bool:
    """Whether a path leads into the folder of temporary files."""
    try:
        return is_in_or_equal(path, get_upload_folder())
    except (ValueError, OSError):  # no path at all
        return False


class Page(gr.Blocks):
    """The page, with what it is built around and who is on it."""

    service: Service
    sessions: Sessions


def claim(*paths: str | Path) -> None:
    """These files belong to the session that is being served."""
    page, request = LocalContext.blocks.get(None), LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    if isinstance(page, Page) and isinstance(session, str):
        page.sessions.claim(session, paths)


def swept_regularly(sessions: Sessions, every_s: float = SWEEP_S) -> Callable[[App], Any]:
    """The lifespan of an app in which departed sessions are forgotten, by Gradio as well, and their files removed."""

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep_again_and_again(sessions, app, every_s))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return lifespan


async def _sweep_again_and_again(sessions: Sessions, app: App, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        gone = await asyncio.to_thread(sessions.sweep, *_known(app))  # thousands of files must not hold up the pages
        _forget(app, gone)
        if gone:
            await asyncio.to_thread(_return_memory)


def sweep_once(sessions: Sessions, app: App) -> set[str]:
    """Forget those who have gone, who are returned.

    Gradio keeps an entry of every session for ever, of some hundred kilobytes; here it goes with the session.
    """
    gone = sessions.sweep(*_known(app))
    _forget(app, gone)
    return gone


def _known(app: App) -> tuple[set[str], set[str]]:
    """Sessions that Gradio keeps something of, and those whose requests wait or are at work."""
    queue = app.get_blocks()._queue
    return {*list(app.state_holder.session_data), *list(queue.pending_event_ids_session)}, _at_work(queue)


def _forget(app: App, gone: set[str]) -> None:
    holder, queue = app.state_holder, app.get_blocks()._queue
    for session in gone:
        holder.delete_state(session)
        with holder.lock:
            holder.session_data.pop(session, None)
            holder.time_last_used.pop(session, None)
        queue.pending_messages_per_session.pop(session, None)
        for event in queue.pending_event_ids_session.pop(session, ()):  # answers that nobody fetched
            queue.event_ids_to_events.pop(event, None)
    for files in app.get_blocks().temp_file_sets:  # names only, but for ever
        files.difference_update([path for path in list(files) if not Path(path).exists()])


def _at_work(queue: Queue) -> set[str]:
    """Sessions whose requests wait or are at work."""
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in list(each.queue)]
    running = [event for job in queue.active_jobs for event in job or ()]
    return {event.session_hash for event in (*waiting, *running) if event.session_hash}


def _return_memory() -> None:
    """What the C library has kept of freed memory, such as that of large photos, back to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _written(path: Path) -> float:
    """When a file was written; long ago where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> None:
    """A file, and the folder that Gradio made for it alone."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are in it
        path.parent.rmdir()
