"""Commands whose work is not done but looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that replaces the function at a dotted path, and returns the arguments of its calls."""

    def replace(path: str, result: object = None) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def called(*arguments: Any) -> object:
            calls.append(arguments)
            return result

        monkeypatch.setattr(path, called)
        return calls

    return replace
