"""Every sentence that a visitor can meet has its translations; the sentences are read from the source."""

from __future__ import annotations

import ast
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.web.i18n import LANGUAGES, sentences_of
from demo.web.static_files import DEMO
from tests.helpers.paths import ROOT

# What a page can meet of the core; its other errors are for the command line and for programs.
CORE = (
    *("atomic_files", "numeric_checks", "backbones/schedulers", "encoders/face", "encoders/photo", "encoders/prompt"),
    *("encoders/prompt_weights", "generation/request_plan", "output/export"),
)
FOR_PROGRAMS = ("api", "process", "server/launch.py", "form/value_types.py")  # of demo/: never on the page
LANGUAGES_OF_TABLE = sorted(set(LANGUAGES.values()) - {"en"})
ERRORS = (
    "PhotoError",
    "PromptError",
    "SettingsError",
    "GenerationError",
    "WritingError",
    "RefusedRequest",
    "FieldError",
    "Error",
)
SAID = (
    "restore_message",
    "foreign_message",
    "messages",
    "_of_another",
    "_lost",
    "check_photos",
)  # functions that return sentences
LIBRARYS = (
    "This application is currently busy. Please try again.",
    "File(s) exceed the maximum allowed size of {}: {}",
)
TABLE = json.loads((DEMO / "web/texts/sentences.json").read_text(encoding="utf-8"))


def _without_names(sentence: str) -> str:
    return re.sub(r"{\w+}", "{}", sentence)


def _modules() -> Iterator[Path]:
    yield from (ROOT / f"mmdiff_core/{name}.py" for name in CORE)
    for path in sorted(DEMO.rglob("*.py")):
        if not str(path.relative_to(DEMO)).startswith(FOR_PROGRAMS):
            yield path


def _texts(node: ast.expr, tree: ast.AST) -> list[str]:
    """What an expression can say, with {} for what is put in; [] where that is not to be seen."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(part.value if isinstance(part, ast.Constant) else "{}" for part in values)]
        case ast.IfExp(body=one, orelse=other):
            return _texts(one, tree) + _texts(other, tree)
        case ast.Name(id=name):
            values = [each.value for each in ast.walk(tree) if isinstance(each, ast.Assign) and _is_named(each, name)]
            return [text for value in values for text in _texts(value, tree)]
        case ast.Call(func=ast.Name(id=name)):
            return [text for function in _functions(tree, name) for text in _returned(function, tree)]
    return []


def _is_named(assignment: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in assignment.targets)


def _functions(tree: ast.AST, name: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]


def _returned(function: ast.FunctionDef, tree: ast.AST) -> list[str]:
    returns = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return [text for value in returns for text in _texts(value, tree)]


def _raised(path: Path) -> Iterator[str]:
    """The sentences of a module's errors."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) in ERRORS:
            texts = [text for argument in node.args for text in _texts(argument, tree) if " " in text]
            assert texts or _passes_on(node), f"{path.name}:{node.lineno}: no sentence to be seen"
            yield from texts
        if isinstance(node, ast.FunctionDef) and node.name in SAID:
            parts = [each for each in ast.walk(node) if isinstance(each, ast.JoinedStr | ast.Constant)]
            inside = {id(value) for part in parts if isinstance(part, ast.JoinedStr) for value in ast.walk(part)}
            inside -= {id(part) for part in parts if isinstance(part, ast.JoinedStr)}
            texts = [text for part in parts if id(part) not in inside for text in _texts(part, tree)]
            doc = ast.get_docstring(node, clean=False)
            yield from (text for text in texts if _is_sentence(text) and text != doc)


def _is_sentence(text: str) -> bool:
    return " " in text and text.endswith((".", ": {}"))


def _passes_on(call: ast.Call) -> bool:
    """Whether an error's sentence is that of another error, or is checked where it is put together."""
    told = call.args[1] if _name_of(call.func) == "FieldError" else call.args[0]
    return isinstance(told, ast.Name | ast.Attribute) or ast.unparse(told) == "str(error)"


def _name_of(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


@pytest.fixture(scope="module")
def said() -> set[str]:
    """Every sentence of the source."""
    return {text for path in _modules() for text in _raised(path)}


def test_every_sentence_has_its_translations(said: set[str]) -> None:
    assert len(said) > 80
    assert sorted(said - set(map(_without_names, TABLE))) == []


def test_words_inside_of_sentences_have_theirs() -> None:
    """What is given as ``what`` to a function that puts a sentence together."""
    words = set()
    for path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            names = [argument.arg for argument in function.args.args if argument.arg != "self"]
            calls = [
                node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name_of(node.func) == function.name
            ]
            given = [call.args[names.index("what")] for call in calls if "what" in names]
            words |= {text for word in given for text in _texts(word, tree)}
    assert len(words) > 15
    assert sorted(words - {""} - set(map(_without_names, TABLE))) == []


def test_what_a_disk_answers_has_its_translation() -> None:
    """Its reasons stand in a table of numbers of errors, and the system and SQLite have their own."""
    tree = ast.parse((ROOT / "mmdiff_core/atomic_files.py").read_text(encoding="utf-8"))
    reasons = next(node.value for node in tree.body if isinstance(node, ast.Assign) and _is_named(node, "_REASONS"))
    assert isinstance(reasons, ast.Dict)
    said = {text for value in reasons.values for text in _texts(value, tree)}
    said |= {os.strerror(number) for number in (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EMFILE)}
    assert len(said) > 10
    assert sorted(said - set(TABLE)) == []


def test_no_translation_is_of_a_sentence_that_nobody_says(said: set[str]) -> None:
    source = " ".join(path.read_text(encoding="utf-8") for path in _modules())
    unsaid = {each for each in map(_without_names, TABLE) if each.endswith(".")} - said - set(LIBRARYS)
    assert [each for each in unsaid if not all(part in source for part in each.split("{}"))] == []


@pytest.mark.parametrize("language", LANGUAGES_OF_TABLE)
def test_every_language_has_every_sentence_with_the_same_gaps(language: str) -> None:
    sentences = sentences_of(language)
    assert list(sentences) == list(TABLE)
    for english, own in sentences.items():
        assert own.strip() == own != ""
        assert sorted(re.findall(r"{\w+}", own)) == sorted(re.findall(r"{\w+}", english)), english


def test_english_needs_no_table() -> None:
    assert sentences_of("en") == {}
