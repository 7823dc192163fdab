"""The app's folder of temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from demo.process.temp_folder import PREFIX, TempFolder

OTHER_PROCESS = """
import sys, time
from demo.process.temp_folder import TempFolder
folder = TempFolder()
(folder.files / "photo.png").write_bytes(b"somebody")
print(folder.files, flush=True)
time.sleep(600)
"""


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def old(parent: Path) -> Callable[[], None]:
    def age_all() -> None:
        for folder in parent.glob(f"{PREFIX}*"):
            os.utime(folder, (0, 0))

    return age_all


def test_it_goes_with_all_that_is_in_it(parent: Path) -> None:
    folder = TempFolder()
    (folder.files / "a").mkdir()
    (folder.files / "a" / "photo.png").write_bytes(b"somebody")
    folder.remove()
    assert not list(parent.iterdir())


def test_files_of_a_killed_process_go_and_those_of_a_working_one_stay(parent: Path, old: Callable[[], None]) -> None:
    environment = {**os.environ, "TMPDIR": str(parent)}
    command = [sys.executable, "-c", OTHER_PROCESS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        files = Path(other.stdout.readline().strip())
        try:
            assert (files / "photo.png").exists()
            old()
            TempFolder().remove()
            assert (files / "photo.png").exists()
        finally:
            other.kill()
    TempFolder().remove()
    assert not files.exists()
    assert not list(parent.iterdir())


def test_a_folder_that_was_just_made_is_spared(parent: Path) -> None:
    unlocked = Path(tempfile.mkdtemp(prefix=PREFIX))
    TempFolder().remove()
    assert unlocked.exists()
