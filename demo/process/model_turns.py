"""Turns at the model, of which there is one: a run that gives way lets all others pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MAX_WAITING = 2  # runs that give way; each keeps a thread, of which a page has few
LOOK_S = 0.02  # how often one of them looks whether it is still wanted


class ModelTurns:
    """Who may use the model, one at a time.

    Runs take turns in whatever order. Those that give way go on only while no run asks, and in the order in which they
    came, so that two people who move sliders get a picture in turn.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._asking = 0  # runs that have a turn or wait for one
        self._giving_way: list[object] = []  # those that wait

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and have it for as long as the context is open."""
        with self._changed:
            self._asking += 1
            self._changed.wait_for(lambda: not self._taken)
            self._taken = True
        try:
            yield
        finally:
            self._release(asking=1)

    @contextmanager
    def take_giving_way(self, is_wanted: Callable[[], bool]) -> Iterator[bool]:
        """Have a turn for as long as the context is open; see :meth:`goes_on`.

        Yields whether there is one. There is none, at once, while a run asks or too many wait that give way, and none
        once it is no longer wanted.
        """
        has_turn = self._wait_giving_way(is_wanted)
        try:
            yield has_turn
        finally:
            if has_turn:
                self._release(asking=0)

    @property
    def is_asked_for(self) -> bool:
        """Whether a run has a turn or waits for one: what gives way must end."""
        return self._asking > 0

    def _wait_giving_way(self, is_wanted: Callable[[], bool]) -> bool:
        with self._changed:
            if len(self._giving_way) >= MAX_WAITING:
                return False
            own = object()
            self._giving_way.append(own)
            try:
                while is_wanted() and not self.is_asked_for:
                    if not self._taken and self._giving_way[0] is own:
                        self._taken = True
                        return True
                    self._changed.wait(LOOK_S)
                return False
            finally:
                self._giving_way.remove(own)
                self._changed.notify_all()

    def _release(self, asking: int) -> None:
        with self._changed:
            self._taken = False
            self._asking -= asking
            self._changed.notify_all()
