"""The three rules of the floor plan (docs/architecture.md), read from the source so that lazy imports count too."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

# Rule 2, from the bottom up: a module imports from its own folder and from lines further up in this list, that is from
# layers below it; folders on one line do not import each other.
LAYERS = [
    ["mmdiff_core.errors", "mmdiff_core.deprecation"],
    ["mmdiff_core.types", "mmdiff_core.atomic_files", "mmdiff_core.numeric_checks"],
    ["mmdiff_core.nn", "mmdiff_core.toyworld"],
    ["mmdiff_core.maps", "mmdiff_core.weights"],
    ["mmdiff_core.encoders", "mmdiff_core.results"],
    ["mmdiff_core.backbones", "mmdiff_core.output"],
    ["mmdiff_core.generation"],
    ["mmdiff_core.inspection"],
    ["mmdiff_core.pipeline"],
    ["mmdiff_core.training"],
    ["mmdiff_core.referee"],
    ["mmdiff_core.evaluation"],
    ["mmdiff_core.benchmarks"],
    ["mmdiff_core.cli"],
    ["mmdiff_core.__main__"],
    ["demo.process"],
    ["demo.server"],
    ["demo.web"],
    ["demo.words"],
    ["demo.form"],
    ["demo.inspect"],
    ["demo.viewer"],
    ["demo.live"],
    ["demo.studio", "demo.api"],
    ["demo.about"],
    ["demo.compare"],
    ["demo.vote"],
    ["demo.page"],
    ["app"],
]
# The page does not know how a model is trained, measured or run from a shell; its flags for models are the shell's.
NOT_FOR_THE_PAGE = ["mmdiff_core.training", "mmdiff_core.evaluation", "mmdiff_core.benchmarks", "mmdiff_core.cli"]
SHARED_FLAGS = ["mmdiff_core.cli.model_flags", "mmdiff_core.cli.aliases"]

# Rule 1
MAX_PYTHON_FILES = 12
ONE_MODULE_A_COMMAND = ROOT / "mmdiff_core" / "cli"  # as many as there are commands
BROWSER_FILES = (".js", ".css", ".html")

# Rule 3
SHARED_STEMS = {"tab", "run", "stage", "report", "recipes", "suite"}  # each folder may have one
TESTED_LINES = 60

SOURCES = [
    *(path for folder in ("mmdiff_core", "demo") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "app.py",
]
MODULES = [path for path in SOURCES if path.stem not in ("__init__", "__main__")]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, except for type checking alone."""
    tree = _tree(path)
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
    """Return the layer of a module, from the bottom, and its folder there."""
    found = [(index, folder) for index, layer in enumerate(LAYERS) for folder in layer if _within(module, [folder])]
    return found[0] if found else None


def _ours(path: Path) -> list[str]:
    return [name for name in _imports(path) if _within(name, ["mmdiff_core", "demo", "app"])]


# ---------------------------------------------------------------- 1. a folder is one thing with all its languages


def test_a_folder_is_no_hall() -> None:
    counts: dict[Path, int] = defaultdict(int)
    for path in MODULES:
        counts[path.parent] += path.parent not in (ROOT, ONE_MODULE_A_COMMAND)
    assert {str(folder): count for folder, count in counts.items() if count > MAX_PYTHON_FILES} == {}


def test_the_root_of_demo_holds_the_page_alone() -> None:
    assert sorted(path.name for path in (ROOT / "demo").iterdir() if path.is_file()) == ["__init__.py", "page.py"]


def test_scripts_sheets_and_templates_lie_beside_the_module_that_loads_them() -> None:
    """And bear its stem, or are named by a module of their folder or, if several folders share them, of any."""
    for path in sorted(path for path in (ROOT / "demo").rglob("*") if path.suffix in BROWSER_FILES):
        if path.with_suffix(".py").is_file():
            continue
        named = f'"{path.relative_to(ROOT / "demo").with_suffix("").as_posix()}'
        users = [module for module in MODULES if named in module.read_text(encoding="utf-8")]
        assert users, f"{path} is loaded by no module"
        folders = {module.parent for module in users if module.name != "theme.py"}  # which lists every sheet
        assert path.parent in folders or len(folders) != 1, f"{path} is loaded by {users[0]} alone: move it there"


# ---------------------------------------------------------------- 2. imports go downwards


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_imports_go_downwards(path: Path) -> None:
    module = _name(path)
    if module in ("mmdiff_core", "demo"):  # the core's public names are imported on first use
        return
    own = _place(module)
    assert own is not None, f"{module} has no layer: give it one in this test"
    for imported in _ours(path):
        other = _place(imported)
        assert other is not None, f"{imported} has no layer: give it one in this test"
        assert other == own or other[0] < own[0], f"{module} imports {imported}, which does not stand below it"
        if _within(module, ["demo"]) and not _within(imported, SHARED_FLAGS):
            assert not _within(imported, NOT_FOR_THE_PAGE), f"{module} imports {imported}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_libraries_stay_where_they_belong(path: Path) -> None:
    module, libraries = _name(path), {name.split(".")[0] for name in _imports(path)}
    if _within(module, ["mmdiff_core"]):
        assert "gradio" not in libraries
    if _within(module, ["mmdiff_core.nn", "mmdiff_core.types"]):
        assert not {"diffusers", "transformers"} & libraries


def test_modules_of_one_folder_import_each_other_in_no_circle() -> None:
    modules = {_name(path) for path in SOURCES}
    graph = {
        _name(path): {
            name if name in modules else name.rpartition(".")[0] for name in _ours(path) if _name(path) != name
        }
        for path in SOURCES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"a circle: {' -> '.join((*trail, module))}"
        if module in done:
            return
        for imported in sorted(graph.get(module, ())):
            visit(imported, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_the_checks_would_notice() -> None:
    """An upward import and a lazy one are both seen."""
    assert _place("mmdiff_core.nn.attention") < _place("mmdiff_core.encoders.text") < _place("demo.page")
    lazy = list(_imports(ROOT / "mmdiff_core" / "cli" / "model_flags.py"))
    assert "mmdiff_core.pipeline.Personalizer" in lazy


# ---------------------------------------------------------------- 3. one word, one meaning


def test_no_two_modules_have_one_stem() -> None:
    """A command's module in cli/ bears the command's name, whatever it calls."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        if path.stem not in SHARED_STEMS and path.parent.name != "cli":
            found[path.stem].append(_name(path))
    assert {stem: names for stem, names in found.items() if len(names) > 1} == {}


def test_no_two_public_classes_have_one_name() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in MODULES:
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(_name(path))
    assert {name: modules for name, modules in found.items() if len(modules) > 1} == {}


def test_every_module_of_some_length_has_its_test() -> None:
    missing = []
    for path in MODULES:
        if path.parent == ROOT or len(path.read_text(encoding="utf-8").splitlines()) <= TESTED_LINES:
            continue
        mirrored = ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.stem}.py"
        missing += [] if mirrored.is_file() else [str(mirrored.relative_to(ROOT))]
    assert missing == []


def test_the_glossary_has_a_row_for_every_word_of_the_plan() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| *\**([^|*]+?)\** *\|", architecture, re.MULTILINE)
    words = {word.strip().lower() for row in rows for word in re.split(r"[,;/]", row)}
    wanted = {"scale", "start step", "word gating", "leakage", "conditional", "component", "map kind", "scheduler"}
    assert wanted - {word.replace("_", " ") for word in words} == set()
