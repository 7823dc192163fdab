"""The texts of the page in several languages. The browser chooses by its own setting; English is the fallback."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from demo.server.limits import MAX_SUBJECTS
from demo.web.static_files import static
from mmdiff_core.inspection.report_texts import REPORT_TEXTS, ReportTexts
from mmdiff_core.maps.heatmap import colour_of

Texts = Mapping[str, str]  # by their keys
MoreTexts = Callable[[Texts], Texts]  # what is put together from the texts of a language

# A browser set to Chinese asks for zh-CN, zh-TW, ... and falls back on zh.
GROUPS = ("quality", "binding", "size", "advanced", "seeds", "model")  # of the settings
LANGUAGES = {"en": "en", "de": "de", "es": "es", "zh": "zh", "zh-CN": "zh"}

# Gradio translates a text only as a whole: markup with texts in it is put together per language, here.
_TEMPLATES = {
    "masthead": '<header class="masthead"><h1>MM-Diff Studio</h1><p>{motto}</p></header>',
    "compare_head": '<h2 class="unseen">{compare}</h2><p>{compare_help}</p>',
    "vote_head": '<h2 class="unseen">{vote}</h2><p>{vote_help}</p>',
    "examples_head": "<h2>{examples}</h2><p>{examples_help}</p>",
    "subjects_head": "<h2>{subjects}</h2><p>{subjects_help}</p>",
    "prompt_head": '<h2>{prompt}</h2><p><span class="with-photos">{prompt_help}</span>'
    '<span class="prompt-only">{prompt_help_alone}</span> <span class="keys">{keys_help}</span></p>',
    "inspect_head": "<h2>{inspect_examples}</h2><p>{inspect_help}</p>",
    "name_like": "{for_example} cat",
    "name_like_too": "{for_example} robot",
    "prompt_like": "{for_example} a cat next to a robot on the beach",
    "concepts_like": "{for_example} dog, hat",
    "avoid_like": "{for_example} blurry, dark",
    "start_help": '<p class="hint">{start_help_text}</p>',
    "delay_of_few_steps": '<p class="hint">{delay_of_few_steps_text}</p>',
    "chips_help": '<p class="hint">{chips_help_text}</p>',
    **{f"group_{name}": f"<h3>{{{name}}}</h3>" for name in GROUPS},
    **{
        f"card_{slot}": f'<h3 style="--subject:{colour_of(slot)}"><i></i>{{subject}} {slot + 1}</h3>'
        for slot in range(MAX_SUBJECTS)
    },
}


def text(key: str) -> I18nData:
    """Return the text of a key, in the language of the person who looks at it."""
    return I18nData(key)


def languages(templates: Texts | None = None, more: MoreTexts = lambda texts: {}) -> gr.I18n:
    """Return every text in every language, for ``Blocks.launch``.

    Args:
        templates: markup, by keys, with gaps that are keys of texts.
        more: makes further texts of a language's texts.
    """
    templates = {**_TEMPLATES, **(templates or {})}
    return gr.I18n(**{locale: _table(language, templates, more) for locale, language in LANGUAGES.items()})


def _table(language: str, templates: Texts, more: MoreTexts) -> dict[str, str]:
    texts = texts_of(language)
    markup = {key: template.format_map(texts) for key, template in templates.items()}
    nodes = f"<span data-texts hidden>{_as_json(texts)}</span>"
    nodes += f"<span data-sentences hidden>{_as_json(sentences_of(language))}</span>"
    return {**texts, **markup, **more(texts), "texts": nodes}


def _as_json(texts: Texts) -> str:
    return escape(json.dumps(texts, ensure_ascii=False, separators=(",", ":")), quote=False)


def texts_of(language: str) -> dict[str, str]:
    """Read the texts of a language."""
    texts: dict[str, str] = _read(language)
    return texts


def report_texts(locale: object) -> ReportTexts:
    """Return the texts of the HTML report in the language of a page; in English for any other."""
    texts = texts_of(LANGUAGES.get(locale, "en") if isinstance(locale, str) else "en")
    return {key: texts[key if key == "locale" else f"report_{key}"] for key in REPORT_TEXTS}


def _read(name: str) -> Any:
    return json.loads(static(f"web/texts/{name}.json"))


def sentences_of(language: str) -> dict[str, str]:
    """Read what the server says in English, with gaps, and how a language says it; {} for English.

    A sentence is put into the person's language in the browser, by i18n.js. Of the gaps, {what}, {kind}, {why}, {most}
    and {list} hold words that have translations of their own; the others hold names and numbers.
    """
    sentences: dict[str, dict[str, str]] = _read("sentences")
    return {} if language == "en" else {english: own[language] for english, own in sentences.items()}
