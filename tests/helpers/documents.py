"""The documentation as data: its files, code blocks, commands, inline code and sections."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.helpers.paths import DOCS, README, ROOT

CHANGELOG = ROOT / "CHANGELOG.md"
PAGES = tuple(sorted(DOCS.glob("*.md")))
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", CHANGELOG, *PAGES)


def read(document: Path) -> str:
    """Return a document's text."""
    return document.read_text(encoding="utf-8")


def section(document: Path, heading: str) -> str:
    """Return the text from a heading, such as ``## From Python``, to the next heading of its level or above."""
    text, level = read(document), heading.split()[0]
    start = text.index(f"{heading}\n")
    following = re.compile(rf"^#{{1,{len(level)}}} ", re.MULTILINE).search(text, start + len(heading))
    return text[start : following.start() if following else None]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def inline_code(text: str) -> list[str]:
    """Return what stands in backticks outside of blocks, with line breaks as blanks."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside)]


def commands(text: str) -> list[list[str]]:
    """Return the words of every command in the shell blocks, comments left out."""
    lines = [line for block in blocks(text, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def of_program(words: list[str]) -> list[str] | None:
    """Return the words after ``python -m mmdiff_core``, whatever starts it; None for other commands."""
    return words[words.index("mmdiff_core") + 1 :] if "-m" in words and "mmdiff_core" in words else None
