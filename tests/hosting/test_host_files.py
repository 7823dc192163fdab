"""What a host reads: the Space's front matter, the requirements, the Dockerfile."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.helpers.paths import ROOT

COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
INSTRUCTIONS = {
    *("FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD", "ENTRYPOINT"),
}


@pytest.fixture(scope="module")
def front_matter() -> dict[str, str]:
    _, head, _ = (ROOT / "README.md").read_text().split("---\n", 2)
    return dict(re.findall(r"^(\w+): *(.*)$", head, re.M))


@pytest.fixture(scope="module")
def requirements() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {each.name: each for each in found}


def test_the_space_starts_what_there_is(front_matter: dict[str, str]) -> None:
    assert front_matter["sdk"] == "gradio"
    assert (ROOT / front_matter["app_file"]).is_file()
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= COLOURS
    assert len(front_matter["short_description"]) <= 60


def test_the_space_s_gradio_and_python_are_those_that_were_tested(
    front_matter: dict[str, str], requirements: dict[str, Requirement]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Version(front_matter["sdk_version"]) in requirements["gradio"].specifier
    assert Version(json.loads(front_matter["python_version"])) in SpecifierSet(project["requires-python"])


def test_every_requirement_has_both_ends(requirements: dict[str, Requirement]) -> None:
    for each in requirements.values():
        operators = {part.operator for part in each.specifier}
        assert ">=" in operators, each
        assert "<" in operators, each


# ---------------------------------------------------------------- the Dockerfile, by the rules that linters hold it to


def _instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines()]


def test_hadolint_has_nothing_to_say() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


def test_every_line_is_an_instruction_and_the_image_is_pinned() -> None:
    words = [word for word, _ in _instructions()]
    assert set(words) <= INSTRUCTIONS
    assert words[0] == "FROM"
    assert words.count("CMD") == words.count("HEALTHCHECK") == 1
    image = dict(_instructions())["FROM"]
    assert ":" in image
    assert not image.endswith(":latest")


def test_every_copied_file_is_there_and_everything_needed_is_copied() -> None:
    copied = [word for kind, rest in _instructions() if kind == "COPY" for word in rest.split()[:-1]]
    assert all((ROOT / each).exists() for each in copied)
    assert {"app.py", "demo", "mmdiff_core", "assets", "requirements.txt", "README.md"} <= set(copied)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not set(copied) & set(ignored)


def test_it_does_not_run_as_root_and_is_called_by_exec() -> None:
    kinds = [kind for kind, _ in _instructions()]
    users = [rest for kind, rest in _instructions() if kind == "USER"]
    assert users
    assert users[-1] != "root"
    assert kinds.index("USER") < kinds.index("CMD")
    assert json.loads(dict(_instructions())["CMD"]) == ["python", "app.py"]


def test_requirements_come_before_the_code() -> None:
    lines = [f"{kind} {rest}" for kind, rest in _instructions()]
    install = next(i for i, line in enumerate(lines) if "-r requirements.txt" in line)
    code = next(i for i, line in enumerate(lines) if "COPY demo" in line)
    assert install < code


def test_it_listens_where_it_says() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "GRADIO_SERVER_NAME=0.0.0.0" in text
    (port,) = (rest for kind, rest in _instructions() if kind == "EXPOSE")
    assert f"GRADIO_SERVER_PORT={port}" in text
    assert f":{port}/healthz" in text
