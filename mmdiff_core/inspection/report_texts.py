"""What the HTML report says, in English; a caller may give the same keys in another language."""

from __future__ import annotations

from collections.abc import Mapping

ReportTexts = Mapping[str, str]  # by the keys of REPORT_TEXTS, with the same gaps

REPORT_TEXTS: ReportTexts = {
    "locale": "en",  # of numbers, and the page's language
    "title": "Where the image looks at its prompt",
    "intro": "Click a word to see the attention that each part of the image pays to it.",
    "words": "Words of the prompt",
    "marks": "Further words and special tokens",
    "point_at": "Point at the image, or touch it, to read a value.",
    "settings": "Settings",
    "scale": "Scale",
    "layers": "Layers",
    "step": "Step",
    "opacity": "Opacity of the map",
    "share": "share of the attention",
    "among_words": "share among the words",
    "contrast": "difference from the words’ mean",
    "z": "standard deviations from its mean",
    "all_layers": "all layers",
    "mean": "mean",
    "mean_of_all": "mean of all",
    "step_of": "{n} of {m}",
    "not_in_prompt": "not in the prompt",
    "steps_kept": "{n} of {m} steps are in this file.",
    "even": "even all over",
    "or_more": "{value} or more",
    "map_of": "Attention to “{word}”: {scale}",
    "looks_of": "Where the point at {x}, {y} looks in the image itself (step {n}, {layer})",
    "looks_help": "Click the image, or move with the arrow keys, to see where a point looks in the image itself.",
    "back": "A word or Escape goes back to the words.",
    "here": "{word} here: {value}",
    "looked_at": "Looked at here: {value}",
    "bars": "Bars: the mean share that “{word}” gets at each step, up to {value}",
}
