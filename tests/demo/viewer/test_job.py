"""A run that belongs to the session, and those who watch it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from demo.form.form import Form, SubjectForm
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.viewer.viewer import RunPresenter
from mmdiff_core.results import Step
from mmdiff_core.types import GenerateRequest, Subject
from tests.helpers.stand_in import StandIn


class SlowSteps:
    """Steps of a run that wait for a word each."""

    def __init__(self, pictures: int = 1, steps: int = 3) -> None:
        self.model, self.go = StandIn(), threading.Semaphore(0)
        subject = Subject("cat", (Image.new("RGB", (8, 8)),))
        request = GenerateRequest("a cat", (subject,), seeds=tuple(range(pictures)), steps=steps)
        plan = self.model.plan(request)
        form = Form("", (SubjectForm(0, "cat", ()),))
        self.presenter = RunPresenter(plan.prompt, plan.words, form, History())
        self.request = request

    def __iter__(self) -> Iterator[Step]:
        for step in self.model.generate(self.request):
            self.go.acquire()
            yield step

    def job(self) -> Job:
        return Job(iter(self), self.presenter)


def _shown(update: Any) -> tuple[int, int | None]:
    """Finished pictures in an update, and the step of the one in the making."""
    value, live = getattr(update, "value", None), getattr(update, "props", {}).get("live")
    return len(value["pictures"]) if value else 0, live and live["progress"]["step"]


def test_two_who_watch_see_the_same_end() -> None:
    slow = SlowSteps()
    job = slow.job()
    slow.go.release(2)
    one, two = job.follow(), job.follow()
    next(one)
    slow.go.release()
    ends = [list(each)[-1] for each in (one, two)]
    assert [_shown(end) for end in ends] == [(1, None)] * 2
    assert list(job.follow())  # a third comes when all is over, and is shown it
    assert slow.model.log == ["start (0,)", "finished"]


def test_leaving_does_not_end_it_and_stop_does() -> None:
    slow = SlowSteps(pictures=2)
    job = slow.job()
    slow.go.release()
    watching = job.follow()
    next(watching)
    watching.close()
    assert not job.over
    job.stop()
    slow.go.release(6)
    list(job.follow())
    assert job.over
    assert slow.model.log == ["start (0, 1)", "cancelled"]
    key, where = job.ended().props["notice"]
    assert (key, where["picture"], where["pictures"]) == ("stopped_in", 1, 2)


def test_a_page_is_not_sent_more_steps_than_it_can_show() -> None:
    slow = SlowSteps(steps=40)
    slow.go.release(40)
    updates = list(slow.job().follow())
    assert _shown(updates[-1]) == (1, None)
    assert len(updates) < 20  # of which each waits for a fifth of a second, unless the run is over


def test_the_last_step_is_not_lost_to_a_late_stop() -> None:
    slow = SlowSteps()
    job = slow.job()
    slow.go.release(2)
    watching = job.follow()
    while _shown(next(watching))[1] != 2:
        pass
    job.stop()
    slow.go.release(1)
    list(watching)
    assert slow.model.log[-1] in ("finished", "cancelled")
    assert job.ended().props["live"] is None or job.ended().props["live"]["stopped"]


def test_what_ends_it_is_told() -> None:
    def fail() -> Iterator[Step]:
        raise MemoryError
        yield

    job = Job(fail(), SlowSteps().presenter)
    with pytest.raises(Exception, match="memory"):
        list(job.follow())
    assert job.over
