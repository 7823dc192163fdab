"""Imports go downwards only; read from the source, so that imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the bottom up. A module may import from its own layer and from those below it.
LAYERS = [
    [
        *("mmdiff_core.errors", "mmdiff_core.types", "mmdiff_core.config", "mmdiff_core.faults"),
        *("mmdiff_core.writing", "mmdiff_core.origin"),
    ],
    ["mmdiff_core.nn"],
    [
        "mmdiff_core.checkpoint",
        "mmdiff_core.convert_official",
        "mmdiff_core.constraints",
        "mmdiff_core.heatmap",
        "mmdiff_core.sheets",
    ],
    ["mmdiff_core.attention_maps", "mmdiff_core.encoders", "mmdiff_core.backbones", "mmdiff_core.conditioning"],
    ["mmdiff_core.sampling"],
    [
        *("mmdiff_core.planning", "mmdiff_core.attach", "mmdiff_core.pipeline", "mmdiff_core.anatomy"),
        "mmdiff_core.flags",
        *("mmdiff_core.animation", "mmdiff_core.binding", "mmdiff_core.export", "mmdiff_core.figures"),
    ],
    ["mmdiff_core.training", "mmdiff_core.evaluation", "mmdiff_core.benchmarks"],
    [
        *("mmdiff_core.generate", "mmdiff_core.models", "mmdiff_core.showcase"),
        *("mmdiff_core.cli", "mmdiff_core.__main__", "demo"),
    ],
    ["app"],
]
# The rendered world stands beside the model: it knows only the bottom; training, the app and its own model know it.
ASIDE = "mmdiff_core.toybox"
ASIDE_MAY_IMPORT = ["mmdiff_core.errors", "mmdiff_core.types", "mmdiff_core.writing", ASIDE]
ASIDE_IMPORTED_BY = [
    "mmdiff_core.backbones.toybox",  # what its weights know of it
    *("mmdiff_core.training", "mmdiff_core.evaluation", "mmdiff_core.benchmarks", "mmdiff_core.showcase", "demo"),
    ASIDE,
]

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


def _layer(module: str) -> int | None:
    return next((index for index, layer in enumerate(LAYERS) if _within(module, layer)), None)


def _ours(path: Path) -> list[str]:
    return [name for name in _imports(path) if _within(name, ["mmdiff_core", "demo", "app"])]


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_go_downwards(path: Path) -> None:
    module = _name(path)
    if module == "mmdiff_core":
        assert _ours(path) == []
        return
    for imported in _ours(path):
        if _within(module, [ASIDE]):
            assert _within(imported, ASIDE_MAY_IMPORT), f"{module} imports {imported}"
        elif _within(imported, [ASIDE]):
            assert _within(module, ASIDE_IMPORTED_BY), f"{module} imports {imported}"
        else:
            own, other = _layer(module), _layer(imported)
            assert own is not None, f"{module} has no layer: give it one in this test"
            assert other is not None, f"{imported} has no layer: give it one in this test"
            assert other <= own, f"{module} imports {imported}, which stands above it"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    module, libraries = _name(path), {name.split(".")[0] for name in _imports(path)}
    if _within(module, ["mmdiff_core"]):
        assert "gradio" not in libraries
    if _within(module, ["mmdiff_core.nn", "mmdiff_core.types"]):
        assert not {"diffusers", "transformers"} & libraries


def test_the_checks_would_notice() -> None:
    """An upward import and a lazy one are both seen."""
    assert _layer("mmdiff_core.nn.attention") < _layer("mmdiff_core.encoders.text") < _layer("demo.page")
    lazy = list(_imports(ROOT / "mmdiff_core" / "flags.py"))
    assert "mmdiff_core.pipeline.Personalizer" in lazy
