"""Tables in the documentation that repeat what the code says."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields

import yaml

from demo.server.limits import PREFIX, Limits
from mmdiff_core.evaluation.ablation.adapter_variants import VARIANTS
from mmdiff_core.training.stable_diffusion.recipes import SD_RECIPES
from mmdiff_core.training.toybox.recipes import RECIPES
from tests.helpers.documents import read, section
from tests.helpers.markdown import cells
from tests.helpers.paths import DOCS, README, ROOT


def _rows(text: str) -> list[list[str]]:
    """Return the cells of all tables' rows, their heads included and the rules below them left out."""
    return [row for row in cells(text) if set(row[0]) - set("-: ")]


def test_limits() -> None:
    rows = {row[0]: row[1:3] for row in _rows(section(DOCS / "hosting.md", "## Limits"))}
    for limit in fields(Limits):
        flag = f"`--{limit.name.replace('_', '-')}`, `{PREFIX}{limit.name.upper()}`"
        assert rows[flag] == [str(limit.default), str(limit.metadata["hosted"])]


def test_variants_of_the_ablation() -> None:
    text = section(DOCS / "evaluation.md", "## Ablation: what each component is worth")
    (table,) = [part for part in text.split("\n\n") if part.startswith("| variants")]
    named = [name for row in _rows(table)[1:] for name in re.findall(r"`([\w.-]+)`", row[0])]
    assert named == list(VARIANTS)


def test_recipes() -> None:
    rows = {row[0].strip("`") for row in _rows(read(DOCS / "training.md"))}
    assert rows >= {*RECIPES, *SD_RECIPES}


def test_layers() -> None:
    """The list of who may import whom is the one that is enforced, from the top down."""
    from tests.test_structure import LAYERS

    (block,) = re.findall(r"```\n(app\n.*?)```", read(DOCS / "architecture.md"), re.DOTALL)
    assert [line.split() for line in block.strip().splitlines()] == list(reversed(LAYERS))


def test_words_are_explained_once_and_in_order() -> None:
    terms = [row[0] for row in _rows(section(DOCS / "architecture.md", "## Words"))[1:]]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) == len(set(terms))


def test_labels_of_the_page() -> None:
    """What the tour and the front page set in italics can be found on the page."""
    labels = set(json.loads((ROOT / "demo" / "web" / "texts" / "en.json").read_text(encoding="utf-8")).values())
    for document in (README, DOCS / "studio.md"):
        named = re.findall(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", read(document))
        assert named
        assert set(named) <= labels


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert [reference["identifiers"][0]["value"] for reference in citation["references"]] == ["arXiv:2403.15059"]
