"""What a visitor reads of an error."""

from __future__ import annotations

import json

import gradio as gr
import pytest

from demo.server.error_messages import user_facing_errors
from tests.helpers.services import facts


def test_what_nobody_foresaw_has_a_number_on_both_sides(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(gr.Error, match="number") as caught, user_facing_errors():
        raise KeyError("a secret cat in /srv/app")
    (line,) = facts(caplog)
    assert line["number"] in caught.value.message
    assert "/srv" not in caught.value.message
    assert line["error"] == "KeyError"
    assert line["frames"][-1].startswith("tests/demo/server/test_error_messages.py:")
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/srv/secret"), "the disk is full"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: ..."), "not enough memory"),
    ],
)
def test_the_machine_s_own_limits_are_said_in_words(error: Exception, says: str) -> None:
    with pytest.raises(gr.Error, match=says) as caught, user_facing_errors():
        raise error
    assert "/srv" not in caught.value.message
