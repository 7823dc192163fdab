"""The scripts' own tests, and what eslint says of them."""

from __future__ import annotations

import re
import subprocess

import pytest

from demo.web.static_files import DEMO
from tests.helpers.node import node
from tests.helpers.paths import ROOT

TESTS = sorted((ROOT / "tests" / "scripts").glob("*.test.mjs"))
ESLINT = ROOT / "node_modules" / "eslint" / "bin" / "eslint.js"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scripts_own_tests_pass() -> None:
    assert TESTS
    _run(node(), "--test", *map(str, TESTS))


def test_eslint_finds_nothing() -> None:
    if not ESLINT.exists():
        pytest.skip("no eslint: run npm install to check the page's scripts")
    _run(node(), str(ESLINT), "demo", "tests/scripts", "eslint.config.js")


def test_every_name_of_a_script_is_used() -> None:
    """Scripts see each other's names, so that no linter can tell which of them nobody uses."""
    code = "".join(path.read_text(encoding="utf-8") for path in sorted(DEMO.rglob("*.js")))
    names = re.findall(r"^(?:const|let|function|async function) (\w+)", code, re.MULTILINE)
    assert len(names) > 100
    assert [name for name in names if len(re.findall(rf"\b{name}\b", code)) == 1] == []
