from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


@pytest.mark.parametrize("workers", ["0", "1"])
def test_figures_are_told_wherever_a_test_runs(workers: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_it(figure):\n    figure('12 MB before')\n    figure('13 MB after')\n"
    )
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(tmp_path / "none.ini"), "-n", workers]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    assert lines.index("12 MB before") + 1 == lines.index("13 MB after")
    assert lines.count("12 MB before") == 1
