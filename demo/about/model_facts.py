"""The facts on the About page: shapes of the loaded model and of a picture, and what the weights know."""

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
    """What the page's script fills in: texts by name, rows of tables, and the names of the parts that are shown."""

    facts: dict[str, str]
    rows: dict[str, list[list[str]]]
    when: list[str]


def model_facts(facts: PageFacts) -> gr.HTML:
    """Make the component whose script fills facts into the page."""
    return gr.HTML(
        facts, html_template="", js_on_load=scripts("about/model_facts"), elem_id="facts", apply_default_css=False
    )


def run_facts(summary: ModelSummary, picture: GeneratedImage | None, start: int, steps: int) -> PageFacts:
    """Return the facts of the diagram.

    Args:
        summary: of the model at the picture's size.
        picture: the last one; None if there is none yet: the facts are then of one subject with one photo.
        start, steps: the model's defaults for delay and steps.
    """
    settings: Mapping[str, Any] = {} if picture is None else picture.settings
    counts = [int(subject["photos"]) for subject in settings.get("subjects", [{"photos": 1}])]
    photos, subjects = sum(counts), len(counts)
    steps, start = int(settings.get("steps", steps)), int(settings.get("start_step", start))
    facts = _photo_shapes(summary, counts) | {
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
        facts["rank"] = str(summary.adapter.rank or "–")  # IP-Adapters have no LoRA
        keys += summary.adapter.null_token
    rows = [_layer_row(group.size, group.heads, group.layers, summary.text_tokens, keys) for group in summary.groups]
    return {"facts": facts, "rows": {"layers": rows}, "when": ["idle" if picture is None else "run"]}


def weight_facts(name: str, summary: ModelSummary, sizes: Size, known: Vocabulary | None) -> PageFacts:
    """Return what is loaded, and what of the rendered world its weights know; None: they are not of that world."""
    counts = {part: count for part, count in summary.parameters.items() if count}
    fixed = sizes.smallest == sizes.largest
    facts = {
        "model": name,
        "size": _shape(*sizes.default) if fixed else f"{sizes.smallest} – {sizes.largest}",
        "parameters": " + ".join(f"{part} {count / 1e6:.1f}\N{NO-BREAK SPACE}M" for part, count in counts.items()),
    }
    if known is None:
        return {"facts": facts, "rows": {}, "when": ["world" if summary.adapter else "stock"]}
    facts |= {key: ", ".join(names) for key, names in _vocabulary(known)}
    unknown = dict(_vocabulary(known, WHOLE_WORLD))
    facts |= {f"no_{key}": ", ".join(names) for key, names in unknown.items()}
    when = ["toys", *(["fixed"] if fixed else []), *(f"no_{key}" for key, names in unknown.items() if names)]
    return {"facts": facts, "rows": {}, "when": when}


def merged_facts(*parts: PageFacts) -> PageFacts:
    """Return several facts as one record."""
    return {
        "facts": {key: text for part in parts for key, text in part["facts"].items()},
        "rows": {key: rows for part in parts for key, rows in part["rows"].items()},
        "when": [name for part in parts for name in part["when"]],
    }


def _photo_shapes(summary: ModelSummary, counts: Sequence[int]) -> dict[str, str]:
    """Return the shapes of the photos and of what the image encoder makes of them."""
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
    """Return steps x layers x kinds x subjects, and where it differs the number of maps that the picture has."""
    shape = _shape(steps, summary.layers, len(MAP_KINDS), subjects)
    if picture is None or picture.maps is None:
        return shape
    count = sum(
        len(maps) for record in picture.maps.records for kind, maps in record.kinds.items() if kind in MAP_KINDS
    )
    return shape if count == steps * summary.layers * len(MAP_KINDS) * subjects else f"{shape} → {count}"


def _layer_row(size: tuple[int, int], heads: int, layers: int, words: int, photos: int) -> list[str]:
    """Return a group of layers with the shapes of its attention to the words and to the photos."""
    pixels = size[0] * size[1]
    return [
        f"{layers} × ({_shape(*size)})",
        _shape(heads, pixels, words),
        _shape(heads, pixels, photos) if photos else "–",
    ]


def _vocabulary(known: Vocabulary, larger: Vocabulary | None = None) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield the known words, or those that a larger vocabulary has beyond them, by the names of the page's parts."""
    for key, names in _lists(known).items():
        shown = names if larger is None else tuple(name for name in _lists(larger)[key] if name not in names)
        yield key, tuple(BACKGROUND_WORDS[name][0] for name in shown) if key == "places" else shown


def _lists(known: Vocabulary) -> dict[str, tuple[str, ...]]:
    return {"kinds": known.classes, "places": known.backgrounds, "styles": known.styles, "worn": known.accessories}


def _shape(*sizes: int) -> str:
    return " × ".join(map(str, sizes))
