"""What the About page tells: shapes of the loaded model and of a picture, and what the weights know. No prose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import gradio as gr

from demo.web.static_files import scripts
from mmdiff_core.generation.model_summary import ModelSummary
from mmdiff_core.results import GeneratedImage
from mmdiff_core.toyworld.scenes.captions import BACKGROUND_WORDS
from mmdiff_core.toyworld.scenes.vocabulary import WHOLE_WORLD, Vocabulary
from mmdiff_core.types import MAP_KINDS, Size


class PageFacts(TypedDict):
    """What the page's script fills in: texts by name, rows of tables, and which parts are to be seen."""

    facts: dict[str, str]
    rows: dict[str, list[list[str]]]
    when: list[str]


def model_facts(facts: PageFacts) -> gr.HTML:
    """Make the component whose script fills facts into the page."""
    return gr.HTML(
        facts, html_template="", js_on_load=scripts("about/model_facts"), elem_id="facts", apply_default_css=False
    )


def run_facts(summary: ModelSummary, picture: GeneratedImage | None, start: int, steps: int) -> PageFacts:
    """The diagram.

    Args:
        summary: of the model at the picture's size.
        picture: the last one; None: nothing was made yet, so one subject with one photo stands for all.
        start, steps: the model's defaults for delay and steps.
    """
    settings: Mapping[str, Any] = {} if picture is None else picture.settings
    counts = [int(subject["photos"]) for subject in settings.get("subjects", [{"photos": 1}])]
    photos, subjects = sum(counts), len(counts)
    steps, start = int(settings.get("steps", steps)), int(settings.get("start_step", start))
    facts = _seen(summary, counts) | {
        "text": _shape(summary.text_tokens, summary.text_width),
        "word": _shape(subjects, summary.text_width),
        "latents": _shape(*summary.latents),
        "steps": str(steps),
        "delay": str(start),
        "picture": _shape(*summary.image_size, 3),
        "prompt": str(settings.get("prompt", "")),
        "seed": str(settings.get("seed", "")),
        "maps": _maps(summary, picture, steps, subjects),
    }
    keys = 0
    if summary.adapter is not None:
        keys = photos * summary.adapter.tokens
        facts["s0"] = _shape(photos, summary.adapter.tokens, summary.text_width)
        facts["tokens"] = _shape(keys, summary.text_width)
        facts["rank"] = str(summary.adapter.rank)
        keys += summary.adapter.null_token
    rows = [_layer_row(group.size, group.heads, group.layers, summary.text_tokens, keys) for group in summary.groups]
    return {"facts": facts, "rows": {"layers": rows}, "when": ["idle" if picture is None else "run"]}


def weight_facts(name: str, summary: ModelSummary, sizes: Size, known: Vocabulary | None) -> PageFacts:
    """What is loaded, and what of the rendered world its weights were trained on (None: on the wide world)."""
    counted = {part: count for part, count in summary.parameters.items() if count}
    fixed = sizes.smallest == sizes.largest
    facts = {
        "model": name,
        "size": _shape(*sizes.default) if fixed else f"{sizes.smallest} – {sizes.largest}",
        "parameters": " + ".join(f"{part} {count / 1e6:.1f} M" for part, count in counted.items()),
    }
    if known is None:
        return {"facts": facts, "rows": {}, "when": ["world" if summary.adapter else "stock"]}
    facts |= {key: _listed(names) for key, names in _vocabulary(known)}
    lacking = dict(_vocabulary(known, WHOLE_WORLD))
    facts |= {f"no_{key}": _listed(names) for key, names in lacking.items()}
    when = ["toys", *(["fixed"] if fixed else []), *(f"no_{key}" for key, names in lacking.items() if names)]
    return {"facts": facts, "rows": {}, "when": when}


def merged_facts(*parts: PageFacts) -> PageFacts:
    """All of them in one."""
    return {
        "facts": {key: text for part in parts for key, text in part["facts"].items()},
        "rows": {key: rows for part in parts for key, rows in part["rows"].items()},
        "when": [name for part in parts for name in part["when"]],
    }


def _seen(summary: ModelSummary, counts: Sequence[int]) -> dict[str, str]:
    """What becomes of the photos before they meet the prompt."""
    side, photos = summary.photo_side, sum(counts)
    if side is None or summary.patches is None:
        return {}
    split = f"{' + '.join(map(str, counts))} = " if len(counts) > 1 else ""
    return {
        "photos": split + _shape(photos, 3, side, side),
        "cls": _shape(photos, summary.cls_width or 0),
        "patches": _shape(photos, summary.patches, summary.patch_width or 0),
    }


def _maps(summary: ModelSummary, picture: GeneratedImage | None, steps: int, subjects: int) -> str:
    """Steps x layers x kinds x subjects, and how many maps a picture really has."""
    shape = _shape(steps, summary.layers, len(MAP_KINDS), subjects)
    if picture is None or picture.maps is None:
        return shape
    made = sum(len(maps) for record in picture.maps.records for kind, maps in record.kinds.items() if kind in MAP_KINDS)
    return shape if made == steps * summary.layers * len(MAP_KINDS) * subjects else f"{shape} → {made}"


def _layer_row(size: tuple[int, int], heads: int, layers: int, words: int, photos: int) -> list[str]:
    """A group of layers, and the shape of its attention to the words and to the photos."""
    pixels = size[0] * size[1]
    return [
        f"{layers} × ({_shape(*size)})",
        _shape(heads, pixels, words),
        _shape(heads, pixels, photos) if photos else "–",
    ]


def _vocabulary(known: Vocabulary, beside: Vocabulary | None = None) -> Iterable[tuple[str, tuple[str, ...]]]:
    """What is known, or what another vocabulary has beside it, by the names of the page's parts."""
    for key, names in _lists(known).items():
        told = names if beside is None else tuple(name for name in _lists(beside)[key] if name not in names)
        yield key, tuple(BACKGROUND_WORDS[name][0] for name in told) if key == "places" else told


def _lists(known: Vocabulary) -> dict[str, tuple[str, ...]]:
    return {"kinds": known.classes, "places": known.backgrounds, "styles": known.styles, "worn": known.accessories}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shape(*sizes: int) -> str:
    return " × ".join(map(str, sizes))
