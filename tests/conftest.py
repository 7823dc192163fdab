"""What all tests share."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator

import pytest

# Several workers with several OpenMP threads each slow one another about tenfold, and a process that forks after its
# threads have worked waits forever. Read when torch is loaded, which is later.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported stays. To look for garbage among its million objects takes a fifth of the tests' processor time.
gc.disable()

FIGURE = "figure"  # the name of a test's property


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", dest="every_test", help="run the slow tests too")
    parser.addoption("--rest", action="store_true", help="run the slow tests only: those that a plain run leaves out")
    parser.addoption(
        "--long", action="store_true", help="the long form of the abuse and load tests, which tells figures"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: runs with --all or --rest, or if its file or the test itself is named")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = [item for item in items if item.get_closest_marker("slow")]
    files = {item.path for item in slow}
    items.sort(key=lambda item: item.path not in files)  # long files first, so that no worker ends with one
    if config.getoption("every_test"):
        return
    if config.getoption("rest"):
        left_out = [item for item in items if item not in slow]
    else:
        left_out = [item for item in slow if not is_named(item, config)]
    if left_out:
        unwanted = set(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in unwanted]


def pytest_collection_finish() -> None:
    """All test files are imported."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
        gc.set_threshold(7_000, 10, 10)  # ten times the usual first one


def is_named(item: pytest.Item, config: pytest.Config) -> bool:
    """Whether the command line names the test or its file (a folder does not count)."""
    own = item.nodeid.partition("::")[2]
    for argument in config.args:
        path, _, name = argument.partition("::")
        if item.path == (config.invocation_params.dir / path).resolve() and (
            name in ("", own) or own.startswith((f"{name}[", f"{name}::"))
        ):
            return True
    return False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: tests wait for a good part of their time. A browser each is too much for that."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if config.getoption("rest") else cores + 1


def forget_accelerate() -> None:
    """Of several trainings in one process each may choose its precision."""
    if "accelerate" in sys.modules:
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="session", autouse=True)
def _surroundings_of_a_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pages of parallel workers share no folder of temporary files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        patch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")  # as the app does: a table at each event
        yield


def forget_pages() -> None:
    """FastAPI remembers functions of the last 4,096 routes, and with them the pages that tests built."""
    models = sys.modules.get("fastapi.dependencies.models")
    for each in vars(models).values() if models else ():
        if hasattr(each, "cache_clear"):
            each.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def _precision_of_a_module() -> None:
    forget_accelerate()


@pytest.fixture(autouse=True)
def _nothing_of_other_tests() -> None:
    forget_accelerate()
    forget_pages()


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells a figure at the end of the run; as a property of the test, since what xdist's workers print is lost."""
    return lambda text: record_property(FIGURE, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    told = [
        text
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, text in report.user_properties
        if name == FIGURE
    ]
    if told:
        terminalreporter.section("figures")
    for text in told:
        terminalreporter.line(str(text))
