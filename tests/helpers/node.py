"""Node, where the machine has it: for tests of the page's scripts without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.helpers.paths import ROOT


def node() -> str:
    """Return the path of Node; the test is skipped where it is missing."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("no Node: install it to test the page's scripts")
    return path


def run_script(scripts: list[str], expression: str, given: Any) -> Any:
    """Return the value of an expression over ``given`` and the top-level names of scripts, "viewer/heatmap" for one."""
    program = (
        'import { load } from "./tests/scripts/load.mjs";\n'
        'import { readFileSync } from "node:fs";\n'
        'const given = JSON.parse(readFileSync(0, "utf8"));\n'
        f"const {{ result }} = load({json.dumps(scripts)}, [`result: ({expression})`], {{ given, WeakMap }});\n"
        "process.stdout.write(JSON.stringify(result));\n"
    )
    command = [node(), "--input-type=module", "--eval", program]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
