from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demo import page
from demo.web.i18n import LANGUAGES, languages, report_texts, sentences_of, texts_of
from demo.web.static_files import DEMO
from mmdiff_core.inspection.report_texts import REPORT_TEXTS
from tests.helpers.stand_in import StandIn

FILES = sorted(set(LANGUAGES.values()))
ENGLISH = json.loads((DEMO / "web/texts/en.json").read_text(encoding="utf-8"))


def _code(*endings: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for end in endings for path in sorted(DEMO.rglob(f"*.{end}")))


def _families(code: str) -> list[re.Pattern[str]]:
    """Keys that code puts together, ``part_{name}`` in Python and ``vote_${name}`` in a script, as patterns."""
    found = re.findall(r'\bf"(\w+_\{[^{}"]+\}\w*)"', code) + re.findall(r"`(\w+_\$\{\w+\}\w*)`", code)
    return [re.compile(re.sub(r"\$?\{[^{}]+\}", r"\\w+", key)) for key in found]


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
    code = _code("py", "js", "html")
    families = _families(code)
    spoken = {key.removesuffix("_touch") for key in ENGLISH}  # the other way of saying it is not named in code
    assert spoken <= set(ENGLISH)
    plain = [key for key in spoken if "." not in key and not any(family.fullmatch(key) for family in families)]
    assert len(plain) > 250
    assert [key for key in plain if not re.search(rf"[\"'{{]{re.escape(key)}[\"'}}]", code)] == []


def test_what_the_scripts_say_has_a_text() -> None:
    """A key without a text would stand on the page itself."""
    scripts, markup = _code("js"), _code("html")
    asked = re.findall(r"""\bt\("(\w+)\"""", scripts) + re.findall(r'data-(?:say|name|tip)="(\w+)"', markup)
    asked += [key for pair in re.findall(r'\bt\([^("]+\? "(\w+)" : "(\w+)"', scripts) for key in pair]
    assert len(asked) > 100
    assert set(asked) <= set(ENGLISH)
    families = _families(scripts)
    assert len(families) > 3
    assert all(any(family.fullmatch(key) for key in ENGLISH) for family in families)


@pytest.mark.parametrize("language", FILES)
def test_scripts_get_every_text_of_a_language(language: str) -> None:
    """Out of one hidden node; quotes, tags and ampersands of a text stay what they are."""
    shown: list[str] = []
    node = HTMLParser()
    node.handle_data = shown.append  # type: ignore[method-assign]
    node.feed(languages().translations[language]["texts"].partition("<span data-sentences")[0])
    labels = json.loads((DEMO / f"web/texts/{language}.json").read_text(encoding="utf-8"))
    assert json.loads("".join(shown)) == labels


def test_markup_before_it_is_translated_is_the_english_text() -> None:
    for path in sorted(DEMO.rglob("*.html")):
        for key, shown in re.findall(r'data-say="(\w+)"[^>]*>([^<]+)<', path.read_text(encoding="utf-8")):
            assert shown == ENGLISH[key], (path.name, key)


@pytest.mark.parametrize("language", FILES)
def test_the_report_speaks_the_language_of_the_page(language: str) -> None:
    texts = report_texts(language)
    assert list(texts) == list(REPORT_TEXTS)
    assert texts["locale"] == language
    assert (texts == REPORT_TEXTS) == (language == "en")
    assert report_texts("../../etc") == report_texts(None) == report_texts(["de"]) == REPORT_TEXTS


@pytest.mark.parametrize(("language", "word"), [("de", "Englisch"), ("es", "inglés"), ("zh", "英语")])
def test_every_other_language_asks_for_an_english_prompt(language: str, word: str) -> None:
    labels = texts_of(language)
    for key in ("prompt_help", "prompt_help_alone", "inspect_help", "concepts_info"):
        assert word in labels[key], key


@pytest.mark.parametrize(
    ("language", "others"),
    [
        ("zh", ("热力图", "令牌", "空标记", "您")),
        ("de", ("Text-Encoder", "Bild-Encoder", " Ihr", "Klicken Sie")),
        ("es", ("en el texto", "el texto tiene", "usted")),
    ],
)
def test_a_thing_has_one_name_in_a_language(language: str, others: tuple[str, ...]) -> None:
    """Words that the page has others for, also in what it says of the server's sentences."""
    said = "\n".join([*texts_of(language).values(), *sentences_of(language).values()])
    assert [word for word in others if word in said] == []
