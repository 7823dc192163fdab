"""Signals in a process of their own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

WAITS = """
import atexit, signal, sys
from demo.process.end_signals import exit_on_signals, wait_for_signal
if sys.argv[1:] == ["ignored"]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
exit_on_signals()
atexit.register(print, "cleaned up", flush=True)
print("ready", flush=True)
wait_for_signal()
"""
HANGS = """
import threading
from demo.process.end_signals import cut_off
threading.Thread(target=threading.Event().wait).start()  # would keep the process alive
cut_off()
"""


def _waiting(*arguments: str) -> subprocess.Popen[str]:
    # A shell's background ignores the one and nohup the other, and children inherit that.
    ignored = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGINT, signal.SIGHUP)}
    try:
        process = subprocess.Popen([sys.executable, "-c", WAITS, *arguments], stdout=subprocess.PIPE, text=True)
    finally:
        for each, handler in ignored.items():
            signal.signal(each, handler)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_ends_the_process_cleanly(name: str) -> None:
    process = _waiting()
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=60)[0] == "cleaned up\n"
    assert process.returncode == 0


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_changes_nothing() -> None:
    process = _waiting("ignored")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "cleaned up\n"
    assert process.returncode == 0


@pytest.mark.slow
def test_work_that_does_not_end_is_cut_off() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "A step takes too long to wait for: it is cut off.\n")
