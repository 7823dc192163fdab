"""What all tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long", action="store_true", help="the long form of the abuse and load tests, which tells figures"
    )


def forget_accelerate() -> None:
    """Of several trainings in one process each may choose its precision."""
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module", autouse=True)
def _precision_of_a_module() -> None:
    forget_accelerate()


@pytest.fixture(autouse=True)
def _precision_of_a_test() -> None:
    forget_accelerate()


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Tells a figure on the terminal."""

    def tell(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return tell
