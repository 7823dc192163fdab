"""Every path, module, name, link and picture that the documentation mentions exists."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.helpers.documents import CHANGELOG, DOCUMENTS, PAGES, inline_code, read, section
from tests.helpers.paths import DOCS, README, ROOT

OURS = ("mmdiff_core", "demo", "tests", "docs", "assets", ".ci")
TODAY = [document for document in DOCUMENTS if document != CHANGELOG]  # a changelog names what there was


def _name(document: Path) -> str:
    return document.name


def _targets(document: Path) -> list[str]:
    """Return where the links and pictures of a document lead, within the project."""
    found = re.findall(r"\]\(([^)\s]+)\)", read(document))
    return [target for target in found if not re.match(r"https?:", target)]


def _anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", read(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _paths(document: Path) -> set[str]:
    """Return the project's paths in a document's backticks; a pattern such as ``tests/<path>`` is none."""
    codes = {code for code in inline_code(read(document)) if re.fullmatch(r"[\w./-]+", code)}
    at_the_root = re.compile(r"app\.py|pyproject\.toml|requirements[\w-]*\.txt|[A-Z]+\.(md|cff)")
    return {code for code in codes if ("/" in code and code.split("/")[0] in OURS) or at_the_root.fullmatch(code)}


def _modules(document: Path) -> set[str]:
    codes = (code.removeprefix("python -m ") for code in inline_code(read(document)))
    return {code for code in codes if re.fullmatch(r"(mmdiff_core|demo|tests)(\.\w+)+", code)}


def _names(document: Path) -> set[str]:
    """Return the last parts of names such as ``Subject.faces`` or ``render()`` in a document's backticks."""
    codes = inline_code(read(document))
    found = [re.fullmatch(r"(?:\w+\.)*([A-Za-z_]\w*[A-Z_]\w*)(?:\([^)]*\))?", code) for code in codes]
    return {name.group(1) for name in found if name and not name.group(1).startswith("MMDIFF_")}  # those of limits


@lru_cache(maxsize=1)
def _words_of_the_code() -> set[str]:
    files = (path for folder in ("mmdiff_core", "demo", "tests") for path in (ROOT / folder).rglob("*.py"))
    return {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in _targets(document):
        path, _, anchor = target.partition("#")
        there = document.parent / path if path else document
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_paths_exist(document: Path) -> None:
    assert [path for path in sorted(_paths(document)) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_modules_exist(document: Path) -> None:
    assert [module for module in sorted(_modules(document)) if find_spec(module) is None] == []


@pytest.mark.parametrize("document", TODAY, ids=_name)
def test_names_occur_in_the_code(document: Path) -> None:
    assert sorted(_names(document) - _words_of_the_code()) == []


def test_the_checks_would_notice() -> None:
    assert "mmdiff_core/nn/refiner.py" in _paths(ROOT / "docs" / "architecture.md")
    assert "tests.browser.screenshots" in _modules(ROOT / "CONTRIBUTING.md")
    assert {"MMDiffAdapter", "added_conditions"} <= _names(ROOT / "CONTRIBUTING.md")
    assert "the-official-release" in _anchors(ROOT / "docs" / "stable_diffusion.md")


# ---------------------------------------------------------------- the front page


def test_the_front_page_stays_short_and_leads_to_every_page() -> None:
    assert 150 <= len(read(README).splitlines()) <= 180
    assert {f"docs/{page.name}" for page in PAGES} <= set(_targets(README))


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(document.parent / target).resolve() for document in DOCUMENTS for target in _targets(document)}
    pictures = [path for path in (ROOT / "assets" / "readme").iterdir() if path.is_file()]
    assert [path.name for path in pictures if path.resolve() not in shown] == []


def test_the_tree_is_the_real_one() -> None:
    """Every entry exists, and no folder of the page or the core is left out."""
    lines = section(README, "## The tree").split("```")[1].strip().splitlines()
    entries, parent = set(), ""
    for line in lines:
        name = line.split()[0]
        parent = parent if line.startswith(" ") else name
        entries.add(parent + name if line.startswith(" ") else name)
    assert [entry for entry in sorted(entries) if not (ROOT / entry).exists()] == []
    for top in ("demo", "mmdiff_core"):
        folders = {f"{top}/{path.name}/" for path in (ROOT / top).iterdir() if (path / "__init__.py").is_file()}
        assert folders <= entries


def test_the_line_from_a_click_to_an_image_is_the_real_one() -> None:
    """Every module on the line exists; those of the core are written without its name."""
    steps = section(DOCS / "architecture.md", "## From a click to an image").split("```")[1].strip().splitlines()[1:]
    for step in steps:
        first, *others = re.split(r"\s{2,}", step.strip())[0].split(", ")
        path = ROOT / (first if first.startswith(("demo/", "mmdiff_core/")) else f"mmdiff_core/{first}")
        assert [each for each in (path, *map(path.with_name, others)) if not each.is_file()] == []
