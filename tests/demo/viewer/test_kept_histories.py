"""Who finds which history again."""

from __future__ import annotations

from demo.server.limits import Limits
from demo.viewer.kept_histories import KeptHistories, key_record


def _nobody(_: str) -> bool:
    return False


def test_a_reload_finds_its_history_although_it_looks_connected() -> None:
    kept = KeptHistories(Limits())
    key, history = kept.attach("one", {}, _nobody)
    assert kept.attach("two", key_record(key), lambda session: session == "one") == (key, history)


def test_a_second_tab_has_a_history_of_its_own_and_a_return_does_not() -> None:
    kept = KeptHistories(Limits())
    key, history = kept.attach("one", None, _nobody)
    browser = {"tab": None, "browser": key}
    other, _ = kept.attach("two", browser, lambda session: session == "one")
    assert other != key
    assert kept.attach("three", browser, _nobody) == (key, history)


def test_nobody_guesses_a_key() -> None:
    kept = KeptHistories(Limits())
    key, history = kept.attach("one", {}, _nobody)
    assert len(key) >= 32
    for keys in ("x", ["x"], {"tab": 3, "browser": ["x"]}, {"tab": key[:-1], "browser": ""}):
        assert kept.attach("two", keys, _nobody)[1] is not history


def test_a_history_goes_with_the_last_session_that_showed_it() -> None:
    kept = KeptHistories(Limits())
    key, history = kept.attach("one", {}, _nobody)
    kept.attach("two", key_record(key), _nobody)
    kept.forget({"one"})
    assert kept.attach("three", key_record(key), _nobody)[1] is history
    kept.forget({"two", "three"})
    assert len(kept) == 0
    assert kept.attach("four", key_record(key), _nobody)[1] is not history
