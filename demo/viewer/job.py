"""A run in a thread of its own: it goes on while nobody watches, and whoever comes back sees it to its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeVar

import gradio as gr

from demo.server.error_messages import user_facing_errors

StepT = TypeVar("StepT", contravariant=True)
PACE_S = 0.2  # between two steps that a page is sent; slow ones would fall behind, and clicks wait behind the steps
WATCH_S = 1.0  # after which one who watches shows Gradio that it is there: only then can Gradio end it


class Presenter(Protocol[StepT]):
    """Takes in the steps of a run, and says what a page shows of it."""

    @property
    def complete(self) -> bool:
        """Whether the last step was taken in."""

    @property
    def finished(self) -> int:
        """How many pictures are finished."""

    def take(self, step: StepT, /) -> None:
        """Take in a step."""

    def news(self, known: int) -> gr.HTML:
        """Return the update for a page that shows ``known`` finished pictures of the run."""

    def ended(self, stopped: bool) -> gr.HTML:
        """Return the update once nothing runs."""


class Job(Generic[StepT]):
    """The steps of one run, taken in a thread that belongs to the session.

    Gradio ends an event as soon as its browser is gone: a phone locks, a train enters a tunnel. The event therefore
    only watches. :meth:`stop` ends the run; closing what :meth:`follow` returns does not.

    Args:
        steps: of the run, such as ``Service.run`` yields; closed in the thread.
        presenter: takes every step in.
    """

    def __init__(self, steps: Iterator[StepT], presenter: Presenter[StepT]) -> None:
        self.presenter = presenter
        self.over = False
        self.stopping = False
        self._error: gr.Error | None = None
        self._taken = 0  # steps
        self._news = threading.Condition()
        # What is written for the session is claimed for it, and a lent GPU is lent to its visitor.
        context = copy_context()
        threading.Thread(target=context.run, args=(self._work, steps), daemon=True, name="generation").start()

    def stop(self) -> None:
        """End the run at its next step."""
        self.stopping = True

    def follow(self) -> Iterator[Any]:
        """Yield the viewer's updates until the run is over; the first one shows where it stands.

        Raises:
            gr.Error: what ended the run.
        """
        taken, known = -1, 0
        while not self.over or taken < self._taken:
            with self._news:
                self._news.wait_for(lambda before=taken: self._taken > before or self.over, WATCH_S)  # type: ignore[misc]
                is_new, taken = self._taken > max(taken, 0), self._taken
                update = self.presenter.news(known) if is_new else gr.skip()
                known = self.presenter.finished
            if is_new or not self.over:
                yield update
            if is_new:
                with self._news:
                    self._news.wait_for(lambda: self.over, PACE_S)
        if self._error is not None:
            raise self._error

    def ended(self) -> gr.HTML:
        """Return the viewer's update once the run is over or stopping: what of it is left to be seen.

        A run that nobody waits for any more, but that is not over, is being stopped: the word may come a moment later.
        """
        return self.presenter.ended(self.stopping or not self.over)

    def _work(self, steps: Iterator[StepT]) -> None:
        try:
            with user_facing_errors(), closing(steps):  # type: ignore[type-var]
                for step in steps:
                    with self._news:
                        self.presenter.take(step)
                        self._taken += 1
                        self._news.notify_all()
                    if self.stopping and not self.presenter.complete:
                        break
        except gr.Error as error:
            self._error = error
        finally:
            with self._news:
                self.over = True
                self._news.notify_all()
