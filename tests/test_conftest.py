"""The options that tests/conftest.py adds, in runs of small suites of their own."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_quick(): ...

@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_slow(size): ...

@pytest.mark.slow
def test_slow_too(): ...
"""
SLOW = ["test_it.py::test_slow[1]", "test_it.py::test_slow[2]", "test_it.py::test_slow_too"]
ALL = ["test_it.py::test_quick", *SLOW, "test_a.py::test_a"]  # the file with slow tests first


class Run:
    """What a run of pytest does: tests in their order, lines that are printed."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.tests: list[str] = []
        (folder / "none.ini").write_text("[pytest]\n")
        options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(folder / "none.ini"), "--strict-markers"]
        options += ["--capture=no", "--import-mode=importlib", f"--basetemp={folder / 'temporary'}"]
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            code = pytest.main([*options, *arguments], plugins=[self])
        self.lines = printed.getvalue().splitlines()
        assert code == 0, printed.getvalue()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self.tests.append(report.nodeid)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_a.py").write_text("def test_a(): ...\n")
    (tmp_path / "test_it.py").write_text(SUITE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "tests"),
    [
        ((), ["test_it.py::test_quick", "test_a.py::test_a"]),
        (("--all",), ALL),
        (("--rest",), SLOW),
        (("--long",), ["test_it.py::test_quick", "test_a.py::test_a"]),
        (("test_it.py::test_slow",), SLOW[:2]),
        (("test_it.py::test_slow[2]",), SLOW[1:2]),
        (("test_it.py::test_slow_too", "test_a.py"), [SLOW[2], "test_a.py::test_a"]),
        (("test_it.py",), ALL[:-1]),
        ((".",), ["test_it.py::test_quick", "test_a.py::test_a"]),
    ],
)
def test_slow_tests_run_when_they_are_asked_for(arguments: tuple[str, ...], tests: list[str], suite: Path) -> None:
    run = Run(suite, "-n0", *arguments)
    assert run.tests == tests
    assert re.match(rf"=+ {len(tests)} passed", run.lines[-1])


@pytest.mark.slow
def test_workers_leave_out_the_same_tests(suite: Path) -> None:
    assert re.match(r"=+ 2 passed in", Run(suite, "-n1").lines[-1])


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_figures_are_told_wherever_a_test_runs(workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_told.py").write_text(
        "def test_told(figure):\n    figure('12 MB before')\n    figure('13 MB after')\n"
    )
    lines = Run(tmp_path, "-n", workers).lines
    assert lines.index("12 MB before") + 1 == lines.index("13 MB after")
    assert lines.count("12 MB before") == 1
