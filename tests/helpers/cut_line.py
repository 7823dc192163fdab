"""A connection that can be cut, as by a lift or a locked phone."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class CutLine:
    """Passes connections on to a local port, until :meth:`cut`, after which there are none until :meth:`mend`."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._whole = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where a browser connects to."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/"

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._whole = False
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        """Let connections pass again."""
        self._whole = True

    def __enter__(self) -> CutLine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                one, _ = self._server.accept()
                if not self._whole:
                    one.close()
                    continue
                other = socket.create_connection(self._to)
                self._open += [one, other]
                for source, target in ((one, other), (other, one)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
