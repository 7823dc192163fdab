from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from demo import page
from demo.compare import grid
from demo.viewer import viewer
from demo.vote import tab as vote_tab
from demo.web.i18n import LANGUAGES, languages
from demo.web.theme import DEMO
from tests.helpers.stand_in import StandIn

FILES = sorted(set(LANGUAGES.values()))
ENGLISH = json.loads((DEMO / "web/texts/en.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", FILES)
def test_every_language_has_every_label_with_the_same_gaps(language: str) -> None:
    labels = json.loads((DEMO / f"web/texts/{language}.json").read_text(encoding="utf-8"))
    assert list(labels) == list(ENGLISH)
    for key, label in labels.items():
        assert label.strip() == label != ""
        assert sorted(re.findall(r"{\w+}", label)) == sorted(re.findall(r"{\w+}", ENGLISH[key])), key


def test_languages_differ() -> None:
    tables = languages().translations
    assert tables["zh"] == tables["zh-CN"]
    assert len({tables[language]["generate"] for language in ("en", "de", "es", "zh")}) == 4


def test_every_label_of_the_page_is_known_and_every_known_one_is_used() -> None:
    built = page.build_ui(StandIn(), votes=Path("votes.db"))  # type: ignore[arg-type]
    config = json.dumps(built.get_config_file(), default=str)
    used = set(re.findall(r"""translation_metadata[\\"', ]+key[\\"']+: ?[\\"']+([\w.]+)""", config))
    tables = page.launch_options(built)["i18n"].translations["en"]
    assert used
    assert used <= set(tables)
    code = "".join(path.read_text(encoding="utf-8") for path in (*DEMO.rglob("*.py"), *DEMO.rglob("*.html")))
    families = {key for key in ENGLISH if key.startswith(("part_", "photos_")) or "." in key}
    plain = [key for key in ENGLISH if key not in families]
    assert [key for key in plain if not re.search(rf"[\"'{{]{re.escape(key)}[\"'}}]", code)] == []


def test_what_the_scripts_say_is_on_the_page() -> None:
    """A key that is not among the spoken ones would stand on the page itself."""
    scripts = sorted({*viewer.SCRIPTS, *grid.SCRIPTS, *vote_tab.SCRIPTS})
    code = "".join((DEMO / f"{name}.js").read_text(encoding="utf-8") for name in scripts)
    markup = "".join(path.read_text(encoding="utf-8") for path in sorted(DEMO.rglob("*.html")))
    asked = re.findall(r"""\b(?:spoken|told)\("(\w+)\"""", code) + re.findall(r'data-(?:say|name|tip)="(\w+)"', markup)
    assert len(asked) > 80
    told = re.findall(r' data-([\w-]+)="', languages().translations["en"]["spoken"])
    assert set(asked) - {name.replace("-", "_") for name in told} == set()


def test_markup_before_it_is_translated_is_the_english_text() -> None:
    for path in sorted(DEMO.rglob("*.html")):
        for key, shown in re.findall(r'data-say="(\w+)"[^>]*>([^<]+)<', path.read_text(encoding="utf-8")):
            assert shown == ENGLISH[key], (path.name, key)
