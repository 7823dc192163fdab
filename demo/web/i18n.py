"""The labels of the page in several languages. The browser chooses by its own setting; English stands in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape

import gradio as gr
from gradio.i18n import I18nData

from demo.server.limits import SLOTS
from demo.web.theme import static
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
    "about_page": static("about/about.html"),
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
# What our scripts say; they read it from the page.
_SPOKEN = (
    *("subject", "nobody", "new_subject", "plain_word", "add_to_prompt", "range", "ahead_one", "ahead_many"),
    *("choose_face", "face_of", "face_weight", "no_face"),
    *("compare", "sheet_empty", "sheet_empty_help", "sheet_waiting", "sheet_progress", "sheet_ready", "time_left"),
    *("progress", "heatmap", "off", "map_text", "map_image", "map_influence", "left", "right", "inspect"),
    *("slider", "slider_help", "save_sheet", "count_picture", "count_pictures", "as_composed", "without_subject"),
    *("without_photos", "without_vision_text", "without_refiner", "without_image_branch", "without_null_token"),
    *("seed", "strength", "strength_1", "strength_2", "strength_3", "strength_4", "delay", "guidance", "steps"),
    *("bound", "sampler", "sampler_own"),
    *("parts", "subjects", "pictures", "width", "height", "without_one_subject"),
    *("vote", "vote_subject", "vote_text", "vote_better", "neither", "vote_save", "vote_skip", "vote_saved"),
    *("vote_none", "vote_none_help", "vote_done", "vote_done_help", "pairs_left", "rather_than"),
    *("tally", "tally_help", "tally_none", "tally_question", "tally_share", "tally_votes"),
    *(
        "asked_subject",
        "asked_text",
        "asked_better",
        "export_csv",
        "reset_votes",
        "reset_sure",
        "reset_yes",
        "reset_no",
    ),
    # The viewer's.
    *("result", "view_empty", "view_empty_help", "view_ready", "in_the_making", "looking_at_photos"),
    *("step_progress", "preview_at", "picture_of", "picture_facts", "other_words_help", "word_help", "help_text"),
    *("help_image", "help_influence", "show_all", "hide_all", "timeline", "play", "pause", "step", "step_of"),
    *("all_steps", "newest", "animations", "save_webp", "save_webp_help", "save_gif", "save_gif_help"),
    *("step_number", "preview", "looks", "colours", "layout", "beside", "on_top", "opacity", "threshold"),
    *("no_threshold", "outline", "outline_at", "layers", "all_layers", "one_layer", "many_layers", "deeper_block"),
    *("head", "head_of", "heads_help", "peek", "no_such_map", "even_map", "here", "point_help", "both"),
    *("read_values",),
    *("sentences", "bound_where", "apply_advice", "applied", "applied_help", "on_subject", "matrix", "pair"),
    *("pair_overlap", "pair_apart", "how", "how_on", "how_on_text", "how_elsewhere", "how_elsewhere_text"),
    *("how_region", "how_region_text", "how_overlap", "how_overlap_text", "how_apart", "how_apart_text"),
    *("save_picture", "save_overlay", "save_all", "save_all_help", "copy_python", "copy_shell", "copied"),
    *("copied_help", "file_made", "advice_even", "advice_close", "advice_leak", "advice_lost", "advice_well"),
    *("advice_own", "try_later", "try_sooner", "try_strength", "try_seed", "try_places"),
)


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
    spoken = "".join(f' data-{name.replace("_", "-")}="{escape(labels[name])}"' for name in _SPOKEN)
    markup = {key: template.format_map(labels) for key, template in _MARKUP.items()}
    told = {key: told for telling in tellings for key, told in telling(labels).items()}
    return labels | markup | told | {"spoken": f"<span hidden{spoken}></span>"}
