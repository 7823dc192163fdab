"""Only the newest move counts, others' runs come first, and of all pictures one is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from demo.form.form import Form, Settings, SubjectForm
from demo.live.live_session import LiveSession, Move
from demo.server.service import Service
from demo.viewer.history import History
from demo.viewer.job import Job
from demo.viewer.viewer import RunPresenter
from demo.web.cached_files import cached_at
from tests.helpers.packed_maps import unpacked
from tests.helpers.services import facts, served
from tests.helpers.stand_in import StandIn

LONG = 20  # seconds; nothing waits for so long


class Person:
    """Somebody with a session of their own who moves a slider."""

    def __init__(self, service: Service, photo: str) -> None:
        self.service, self.photo = service, photo
        self.history = History()
        self.session = LiveSession(service, self.history)
        self.moves = 0
        self.answers: list[tuple[int, Any, str]] = []

    def form(self, strength: float) -> Form:
        subjects = (SubjectForm(0, "cat", (self.photo,), strength), SubjectForm(2, "robot", (self.photo,)))
        return Form("a cat and a robot", subjects, Settings(seed=4, steps=6))

    def plan(self, strength: float) -> Any:
        request = self.form(strength).request()
        return self.service.plan(replace(request, recording=None))

    def move(self, strength: float) -> None:
        """Move, and wait for the answer."""
        move = Move("page", self.moves + 1)
        self.moves += 1
        assert self.session.begin(move)
        frame, state = self.session.make(move, self.form(strength), self.plan(strength))
        self.answers.append((move.number, frame, state))

    def begin_move(self, strength: float) -> threading.Thread:
        """Move, and go on."""
        thread = threading.Thread(target=self.move, args=(strength,), daemon=True)
        thread.start()
        return thread

    @property
    def states(self) -> list[tuple[int, str]]:
        return [(number, state) for number, _, state in self.answers]


@pytest.fixture
def model() -> StandIn:
    return StandIn()


@pytest.fixture
def service(model: StandIn) -> Service:
    return served(model)


@pytest.fixture
def person(service: Service, photo: str) -> Person:
    return Person(service, photo)


@pytest.fixture
def watched(model: StandIn) -> threading.Event:
    """Set once a run waits before its third step."""
    waits, wait = threading.Event(), model.go.wait

    def wait_and_say(timeout: float) -> bool:
        waits.set()
        return wait(timeout)

    model.go.wait = wait_and_say  # type: ignore[method-assign]
    return waits


def test_a_move_is_answered_by_a_picture_with_its_averaged_maps(person: Person) -> None:
    person.move(0.5)
    ((number, frame, state),) = person.answers
    assert (number, state) == (1, "shown")
    assert (frame["run"], frame["move"]) == ("page", 1)
    assert frame["image"].startswith("data:image/jpeg")
    assert [subject["name"] for subject in frame["subjects"]] == ["cat", "robot"]
    picture = person.session._last.picture  # type: ignore[union-attr]
    (group,) = frame["maps"]["kinds"]["image"]
    np.testing.assert_allclose(unpacked(group)[0, 1], picture.maps.at("robot", "image"), atol=1 / 255)


def test_a_newer_move_ends_the_run_of_an_older_one_at_its_next_step(
    person: Person, model: StandIn, watched: threading.Event
) -> None:
    with model.held(picture=1, step=3):
        older = person.begin_move(0.5)
        assert watched.wait(LONG)
        newer = person.begin_move(0.9)
        while person.session._newest.number < 2:
            pass
    older.join(LONG)
    newer.join(LONG)
    assert person.states == [(1, "superseded"), (2, "shown")]
    assert model.log == ["start (4,)", "cancelled", "start (4,)", "finished"]
    assert [request.subjects[0].scale for request in model.asked] == [0.5, 0.9]
    assert person.session._last.move.number == 2  # type: ignore[union-attr]


def test_an_older_move_that_comes_late_is_not_begun(person: Person) -> None:
    person.move(0.5)
    assert not person.session.begin(Move("page", 1))
    assert person.session.begin(Move("a page that was opened again", 1))


def test_moves_leave_nothing_behind_until_the_slider_rests(
    person: Person, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "demo.web.cached_files.cached_at", lambda data, name: (written.append(name), cached_at(data, name))[1]
    )
    caplog.set_level("INFO")
    for strength in (0.2, 0.4, 0.6, 0.8):
        person.move(strength)
    assert not person.history.entries
    assert facts(caplog) == []
    assert written == []
    value = person.session.keep()
    assert value is not None
    (frame,) = value["pictures"]
    assert value["kept"] == 4
    assert list(person.history.entries) == [frame["name"]]
    assert written == ["mm-diff-4.png"]
    entry = person.history.get(frame["name"])
    assert entry.picture.settings["subjects"][0]["strength"] == 0.8
    assert len(entry.previews) == 6
    assert frame["form"] == person.form(0.8).fingerprint
    assert [fact["event"] for fact in facts(caplog)] == ["kept"]
    assert person.session.keep() is None  # once
    assert len(person.history.entries) == 1


def test_others_runs_come_first(person: Person, service: Service, model: StandIn, watched: threading.Event) -> None:
    """One that comes while the picture of a move is made waits for no more than its next step."""
    finished: list[object] = []
    with model.held(picture=1, step=3):
        moved = person.begin_move(0.5)
        assert watched.wait(LONG)
        plan = replace(person.plan(1.0), steps=2)
        other = threading.Thread(target=lambda: finished.extend(service.run(plan)), daemon=True)
        other.start()
        while not service.turns.is_asked_for:
            pass
    moved.join(LONG)
    other.join(LONG)
    assert person.states == [(1, "busy")]
    assert model.log[:2] == ["start (4,)", "cancelled"]
    assert len(finished) == 2


def test_while_another_run_goes_on_a_move_is_answered_at_once(person: Person, service: Service, model: StandIn) -> None:
    steps = service.run(person.plan(1.0))
    next(steps)
    person.move(0.5)
    assert person.states == [(1, "busy")]
    assert len(model.asked) == 1
    assert len(list(steps)) == 5  # undisturbed
    person.move(0.5)
    assert person.states[-1] == (2, "shown")


def test_ones_own_run_ends_the_moves(person: Person, model: StandIn) -> None:
    plan = person.plan(1.0)
    presenter = RunPresenter(plan.prompt, plan.words, person.form(1.0), person.history)
    with model.held(picture=1, step=2):
        person.history.job = Job(person.service.run(plan), presenter)
        person.move(0.5)
    assert person.states == [(1, "superseded")]
    for _ in person.history.job.follow():
        pass


def test_two_people_do_not_disturb_one_another(
    service: Service, model: StandIn, photo: str, watched: threading.Event
) -> None:
    one, other = Person(service, photo), Person(service, photo)
    with model.held(picture=1, step=3):
        first = one.begin_move(0.5)
        assert watched.wait(LONG)
        second = other.begin_move(0.7)
    first.join(LONG)
    second.join(LONG)
    assert (one.states, other.states) == ([(1, "shown")], [(1, "shown")])
    assert "cancelled" not in model.log


def test_where_live_is_off_what_runs_ends(person: Person, model: StandIn, watched: threading.Event) -> None:
    with model.held(picture=1, step=3):
        moved = person.begin_move(0.5)
        assert watched.wait(LONG)
        person.session.end()
    moved.join(LONG)
    assert person.states == [(1, "superseded")]
    assert model.log[-1] == "cancelled"
    assert person.session.keep() is None
