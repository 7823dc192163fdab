from __future__ import annotations

import os
from pathlib import Path

import pytest

from demo.server.sessions import BROKEN_UPLOAD_S, Sessions


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return Sessions(60, tmp_path, clock)


def _file(tmp_path: Path, name: str, at: float = 1000.0) -> Path:
    path = tmp_path / name / "photo.png"
    path.parent.mkdir()
    path.touch()
    os.utime(path, (at, at))
    return path


def test_files_stay_while_the_tab_is_open_and_a_while_after(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    mine = _file(tmp_path, "mine")
    sessions.connect("a")
    sessions.claim("a", [mine])
    clock.now += 100_000
    assert sessions.sweep() == set()
    sessions.disconnect("a")
    clock.now += 59
    assert sessions.sweep() == set()
    assert mine.exists()
    clock.now += 2
    assert sessions.sweep() == {"a"}
    assert list(tmp_path.iterdir()) == []
    assert len(sessions) == 0


def test_a_reload_takes_the_files_along(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    mine = _file(tmp_path, "mine")
    sessions.connect("before")
    sessions.claim("before", [mine])
    sessions.disconnect("before")
    sessions.connect("after")
    sessions.claim("after", [mine])
    clock.now += 100
    assert sessions.sweep() == {"before"}
    assert mine.exists()


def test_one_of_two_lines_may_break(sessions: Sessions, clock: Clock) -> None:
    sessions.connect("a")
    sessions.connect("a")
    sessions.disconnect("a")
    clock.now += 100
    assert sessions.sweep() == set()


def test_what_nobody_holds_goes_when_it_is_old(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    old, new = _file(tmp_path, "old", at=900), _file(tmp_path, "new")
    sessions.sweep()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_broken_upload_goes_soon(clock: Clock, tmp_path: Path) -> None:
    """It lies in the folder itself, as large as the disk had room for it."""
    sessions = Sessions(3600, tmp_path, clock)
    broken, whole = tmp_path / "tmp1234", _file(tmp_path, "whole")
    broken.touch()
    os.utime(broken, (1000, 1000))
    clock.now += BROKEN_UPLOAD_S - 1
    sessions.sweep()
    assert broken.exists()
    clock.now += 2
    sessions.sweep()
    assert (broken.exists(), whole.exists(), tmp_path.exists()) == (False, True, True)


def test_in_a_folder_of_others_only_what_was_held_is_touched(clock: Clock, tmp_path: Path, sessions: Sessions) -> None:
    sessions.folder = None
    theirs, mine = _file(tmp_path, "theirs", at=0), _file(tmp_path, "mine")
    sessions.claim("a", [mine])
    clock.now += 100
    sessions.sweep()
    assert (theirs.exists(), mine.exists()) == (True, False)


def test_no_file_elsewhere_is_ever_claimed(
    sessions: Sessions, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "precious.png"
    elsewhere.touch()
    sessions.claim("a", [elsewhere])
    clock.now += 100
    sessions.sweep()
    assert elsewhere.exists()


def test_a_program_that_never_said_hello_is_forgotten_as_well(sessions: Sessions, clock: Clock) -> None:
    assert sessions.sweep(["program"]) == set()
    clock.now += 61
    assert sessions.sweep(["program"]) == {"program"}
