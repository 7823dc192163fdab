"""Scripts, style sheets and templates lie where a reader looks for them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.web.static_files import DEMO, SHARED
from demo.web.theme import STYLE_SHEETS

SHARED_FOLDERS = ("viewer", "web")  # whose scripts other folders' components load as well
ENDINGS = ("js", "css", "html")
MODULES = sorted(path for path in DEMO.rglob("*.py") if path.name != "__init__.py")


def _loaded(path: Path) -> Iterator[str]:
    """The files that a module names in ``static("...")``, ``scripts("...")`` and its list of scripts."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("static", "scripts"):
            end = ".js" if node.func.id == "scripts" else ""
            yield from (f"{name}{end}" for name in _texts(node))
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").endswith("SCRIPTS"):
            yield from (f"{name}.js" for name in _texts(node))


def _texts(node: ast.AST) -> list[str]:
    found = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return [value for value in found if isinstance(value, str) and "/" in value and not value.endswith("/")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(DEMO).as_posix())
def test_a_file_lies_beside_the_module_that_loads_it_and_bears_its_stem(path: Path) -> None:
    folder = path.parent.relative_to(DEMO).as_posix()
    loaded = [DEMO / name for name in _loaded(path)]
    assert all(file.exists() for file in loaded)
    assert {file.parent.relative_to(DEMO).as_posix() for file in loaded} <= {folder, *SHARED_FOLDERS}
    own = [file.name for file in loaded if file.parent == path.parent and file.suffix in (".js", ".html")]
    assert not own or any(name.startswith(path.stem) for name in own)


def test_every_file_is_loaded() -> None:
    loaded = {DEMO / name for path in MODULES for name in _loaded(path)}
    loaded |= {DEMO / f"{name}.js" for name in SHARED} | set(STYLE_SHEETS)
    there = {path for end in ENDINGS for path in DEMO.rglob(f"*.{end}")}
    assert there <= loaded


def test_a_style_sheet_has_a_script_or_module_of_its_stem() -> None:
    for sheet in STYLE_SHEETS:
        assert sheet.with_suffix(".js").exists() or sheet.with_suffix(".py").exists() or sheet.parent.name == "web"


def test_gradio_takes_no_selector_apart() -> None:
    """Gradio prefixes each selector of a rule: every comma ends one, and .dark counts only at its start."""
    for sheet in STYLE_SHEETS:
        rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        selectors = [found.strip() for found in re.findall(r"([^{}]+)\{", rules)]
        assert [found for found in selectors if re.search(r":\w+\([^()]*,", found)] == [], sheet
        assert [found for found in selectors if ".dark" in found and "," in found] == [], sheet


def test_gradio_keeps_every_border() -> None:
    """It writes rules anew, and a border with a variable gets lost where a part of it is set again in its rule."""
    for sheet in STYLE_SHEETS:
        rules = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        lost = re.findall(r"\bborder:[^;{}]*var\([^{}]*?;\s*border-(?:top|right|bottom|left|color|width|style)", rules)
        assert lost == [], sheet
