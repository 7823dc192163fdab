from __future__ import annotations

import threading
from collections.abc import Callable

from demo.process.model_turns import MAX_WAITING, ModelTurns

LONG = 20  # seconds; nothing waits for so long


def _begun(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _wanted() -> bool:
    return True


def test_one_run_at_a_time() -> None:
    turns, inside, order = ModelTurns(), threading.Event(), []

    def second() -> None:
        with turns.take():
            order.append("second")

    with turns.take():
        thread = _begun(second)
        inside.wait(0.05)
        order.append("first")
    thread.join(LONG)
    assert order == ["first", "second"]
    assert not turns.is_asked_for


def test_what_gives_way_has_no_turn_while_a_run_has_one_and_does_not_wait_for_it() -> None:
    turns = ModelTurns()
    with turns.take(), turns.take_giving_way(_wanted) as has_turn:
        assert not has_turn
    with turns.take_giving_way(_wanted) as has_turn:
        assert has_turn


def test_a_run_that_waits_is_known_to_what_gives_way_and_comes_next() -> None:
    turns, got = ModelTurns(), threading.Event()

    def run() -> None:
        with turns.take():
            got.set()

    with turns.take_giving_way(_wanted):
        assert not turns.is_asked_for
        thread = _begun(run)
        while not turns.is_asked_for:
            pass
        assert not got.is_set()
        with turns.take_giving_way(_wanted) as other:
            assert not other  # nobody slips in between
    thread.join(LONG)
    assert got.is_set()


def test_those_that_give_way_take_turns_in_their_order_and_few_wait() -> None:
    turns, order, begun = ModelTurns(), [], []
    entered = threading.Semaphore(0)

    def other(name: int) -> None:
        def is_wanted() -> bool:
            entered.release()
            return True

        with turns.take_giving_way(is_wanted) as has_turn:
            order.append((name, has_turn))

    with turns.take_giving_way(_wanted):
        for name in range(MAX_WAITING):
            begun.append(_begun(lambda name=name: other(name)))  # type: ignore[misc]
            entered.acquire(timeout=LONG)
        with turns.take_giving_way(_wanted) as has_turn:
            assert not has_turn  # two wait: a page has few threads
        assert order == []
    for thread in begun:
        thread.join(LONG)
    assert order == [(name, True) for name in range(MAX_WAITING)]


def test_what_is_no_longer_wanted_stops_waiting() -> None:
    turns, unwanted, ended = ModelTurns(), threading.Event(), []

    def other() -> None:
        with turns.take_giving_way(lambda: not unwanted.is_set()) as has_turn:
            ended.append(has_turn)

    with turns.take_giving_way(_wanted):
        thread = _begun(other)
        unwanted.set()
        thread.join(LONG)
        assert ended == [False]


def test_an_error_gives_the_turn_back() -> None:
    turns = ModelTurns()
    for take in (turns.take, lambda: turns.take_giving_way(_wanted)):
        try:
            with take():  # type: ignore[operator]
                raise MemoryError
        except MemoryError:
            pass
    with turns.take_giving_way(_wanted) as has_turn:
        assert has_turn
