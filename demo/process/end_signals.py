"""How the process ends: Ctrl-C, TERM from a container host and HUP from a closed terminal all end it cleanly."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType

logger = logging.getLogger("mmdiff")

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no HUP


def exit_on_signals() -> None:
    """Raise SystemExit in the main thread at the first signal; further ones change nothing.

    A signal that is ignored, as HUP is under ``nohup`` and INT in the background of a shell, stays ignored.
    """
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def cut_off() -> None:
    """End the process at once, although a thread still works.

    A thread that is inside of a library when Python ends by itself takes the whole process down with SIGABRT.
    """
    logger.warning("A step takes too long to wait for: it is cut off.")
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def wait_for_signal() -> None:
    """Sleep until a signal raises SystemExit."""
    threading.Event().wait()


def _exit(number: int, _: FrameType | None) -> None:
    for each in _numbers():
        signal.signal(each, signal.SIG_IGN)
    logger.info("Ending (%s).", signal.Signals(number).name)
    raise SystemExit(0)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
