"""The labels of the page in several languages. The browser chooses by its own setting; English stands in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape

import gradio as gr
from gradio.i18n import I18nData

from demo.server.limits import SLOTS
from demo.web.static_files import static
from mmdiff_core.maps.heatmap import colour_of

Labels = Mapping[str, str]
Telling = Callable[[Labels], Mapping[str, str]]  # from a language's labels to further texts, by their keys

# A browser set to Chinese asks for zh-CN, zh-TW, ... and falls back on zh.
LANGUAGES = {"en": "en", "de": "de", "es": "es", "zh": "zh", "zh-CN": "zh"}

# Gradio translates a text as a whole, once: markup around labels is put together per language, here.
_MARKUP = {
    "masthead": '<header class="masthead"><h1>MM-Diff Studio</h1><p>{motto}</p></header>',
    "compare_head": "<h2>{compare}</h2><p>{compare_help}</p>",
    "vote_head": "<h2>{vote}</h2><p>{vote_help}</p>",
    "examples_head": "<h2>{examples}</h2><p>{examples_help}</p>",
    "subjects_head": "<h2>{subjects}</h2><p>{subjects_help}</p>",
    "prompt_head": '<h2>{prompt}</h2><p>{prompt_help} <span class="keys">{keys_help}</span></p>',
    "chips_help": '<p class="hint">{chips_help_text}</p>',
    "about_page": static("about/tab.html"),
    "cutout": static("studio/cutout_dialog.html"),
    "guide": (
        '<div class="guide" role="status" hidden><p><b>{guide_title}</b> {guide_text}</p>'
        '<button type="button" class="tool">{guide_done}</button></div>'
    ),
    **{f"group_{name}": f"<h3>{{{name}}}</h3>" for name in ("quality", "binding", "size", "seeds", "model")},
    **{
        f"card_{slot}": f'<h3 style="--subject:{colour_of(slot)}"><i></i>{{subject}} {slot + 1}</h3>'
        for slot in range(SLOTS)
    },
}


def text(key: str) -> I18nData:
    """A label, in the language of whoever looks at it."""
    return I18nData(key)


@lru_cache(maxsize=1)
def english() -> dict[str, str]:
    """The labels for where no browser translates them: names of files, tables for other programs."""
    labels: dict[str, str] = json.loads(static("web/texts/en.json"))
    return labels


def languages(*tellings: Telling) -> gr.I18n:
    """Every label in every language, for ``Blocks.launch``, with what ``tellings`` make of the labels."""
    return gr.I18n(**{locale: _table(file, tellings) for locale, file in LANGUAGES.items()})


def _table(language: str, tellings: Sequence[Telling]) -> dict[str, str]:
    labels: dict[str, str] = json.loads(static(f"web/texts/{language}.json"))
    for_scripts = escape(json.dumps(labels, ensure_ascii=False, separators=(",", ":")), quote=False)
    markup = {key: template.format_map(labels) for key, template in _MARKUP.items()}
    told = {key: told for telling in tellings for key, told in telling(labels).items()}
    return labels | markup | told | {"texts": f"<span data-texts hidden>{for_scripts}</span>"}
