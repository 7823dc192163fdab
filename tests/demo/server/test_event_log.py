"""Events in the log: numbers, and words only where they were asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from demo.server.event_log import EventLog, TextLines
from demo.server.limits import Limits
from demo.server.service import Service
from mmdiff_core.errors import GenerationError
from mmdiff_core.results import Step
from tests.helpers.services import REQUEST, facts, served
from tests.helpers.stand_in import Plan, StandIn


def test_events_are_told_in_numbers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    list(served().generate(REQUEST))
    (line,) = facts(caplog)
    assert line["event"] == "generated"
    assert (line["photos"], line["subjects"], line["done_steps"], line["prompt_characters"]) == (1, 1, 3, 12)
    assert "secret" not in json.dumps(line)
    assert "event" not in TextLines().format(caplog.records[0])
    assert "photos=1" in TextLines().format(caplog.records[0])


def test_words_are_told_where_somebody_asked_for_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    list(Service(StandIn(), Limits(), EventLog(words=True)).generate(REQUEST))  # type: ignore[arg-type]
    assert facts(caplog)[0]["prompt"] == "a secret cat"


class Failing(StandIn):
    def run(self, plan: Plan, photos: object = None) -> Iterator[Step]:
        yield from super().run(plan)
        raise GenerationError("no memory for a secret cat")


def test_a_failure_is_told_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(GenerationError):
        list(served(Failing()).generate(REQUEST))
    (line,) = facts(caplog)
    assert (line["event"], line["error"], line["level"]) == ("failed", "GenerationError", "WARNING")
    assert "secret" not in json.dumps(line)
