"""Imports go downwards only; read from the source, so that imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# From the bottom up. A module imports from its own folder and from those further down; of one line, none the other.
LAYERS = [
    ["mmdiff_core.errors", "mmdiff_core.deprecation"],
    ["mmdiff_core.types", "mmdiff_core.atomic_files", "mmdiff_core.numeric_checks"],
    ["mmdiff_core.nn", "mmdiff_core.toyworld"],
    ["mmdiff_core.maps", "mmdiff_core.weights"],
    ["mmdiff_core.encoders", "mmdiff_core.results"],
    ["mmdiff_core.backbones", "mmdiff_core.output"],
    ["mmdiff_core.generation"],
    ["mmdiff_core.pipeline"],
    ["mmdiff_core.training"],
    ["mmdiff_core.referee"],
    ["mmdiff_core.evaluation"],
    ["mmdiff_core.benchmarks"],
    ["mmdiff_core.cli"],
    ["mmdiff_core.__main__"],
    ["demo.server"],
    ["demo.web"],
    ["demo.form"],
    ["demo.viewer"],
    ["demo.studio", "demo.api"],
    ["demo.about"],
    ["demo.compare"],
    ["demo.vote"],
    ["demo.page"],
    ["demo.replica_check"],
    ["app"],
]
# What the page may know of the core: not how it is trained, measured or typed at.
NOT_FOR_THE_PAGE = ["mmdiff_core.training", "mmdiff_core.evaluation", "mmdiff_core.benchmarks", "mmdiff_core.cli"]

SOURCES = [
    *(path for folder in ("mmdiff_core", "demo") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "app.py",
]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, except for type checking alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", None) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively; write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(module: str, parents: list[str]) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def _place(module: str) -> tuple[int, str] | None:
    """The layer of a module, from the bottom, and its folder there."""
    found = [(index, room) for index, layer in enumerate(LAYERS) for room in layer if _within(module, [room])]
    return found[0] if found else None


def _ours(path: Path) -> list[str]:
    return [name for name in _imports(path) if _within(name, ["mmdiff_core", "demo", "app"])]


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_go_downwards(path: Path) -> None:
    module = _name(path)
    if module in ("mmdiff_core", "demo"):
        assert _ours(path) == []
        return
    own = _place(module)
    assert own is not None, f"{module} has no layer: give it one in this test"
    for imported in _ours(path):
        other = _place(imported)
        assert other is not None, f"{imported} has no layer: give it one in this test"
        assert other == own or other[0] < own[0], f"{module} imports {imported}, which does not stand below it"
        if _within(module, ["demo"]):
            assert not _within(imported, NOT_FOR_THE_PAGE), f"{module} imports {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    module, libraries = _name(path), {name.split(".")[0] for name in _imports(path)}
    if _within(module, ["mmdiff_core"]):
        assert "gradio" not in libraries
    if _within(module, ["mmdiff_core.nn", "mmdiff_core.types"]):
        assert not {"diffusers", "transformers"} & libraries


def test_the_checks_would_notice() -> None:
    """An upward import and a lazy one are both seen."""
    assert _place("mmdiff_core.nn.attention") < _place("mmdiff_core.encoders.text") < _place("demo.page")
    lazy = list(_imports(ROOT / "mmdiff_core" / "cli" / "model_flags.py"))
    assert "mmdiff_core.pipeline.Personalizer" in lazy
