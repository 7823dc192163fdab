"""The list of models: the loaded one and what it knows, those that can be loaded, and how to get the others.

All of it is put together per language, see :mod:`demo.web.i18n`; what is wrong with a model is in English.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from demo.form.examples import known_phrases, vocabulary_of
from demo.studio.settings_panel import NOISY, SAMPLER_TITLES
from demo.web.i18n import MoreTexts, Texts
from demo.words.prompt_edits import PhraseKind
from mmdiff_core.backbones.registry import (
    TOYBOX,
    UNKNOWN,
    AvailableModel,
    available_models,
    face_state,
    image_encoder_state,
)
from mmdiff_core.backbones.schedulers import DISTILLED
from mmdiff_core.toyworld.scenes.vocabulary import Vocabulary
from mmdiff_core.weights.hub import CLIP, format_gigabytes
from mmdiff_core.weights.insightface_models import FACES

if TYPE_CHECKING:
    from demo.server.service import Service

GIGABYTE = 10**9
# Keys of the texts for kinds of phrases.
_KINDS: dict[PhraseKind, str] = {
    "toy": "known_toys",
    "place": "known_places",
    "relation": "known_relations",
    "style": "known_styles",
}
# Keys of the texts for models whose titles are translated.
_TITLED = {TOYBOX: "toybox_built_in", CLIP: "image_encoder", FACES: "face_finder"}


def model_texts(service: Service) -> MoreTexts:
    """Return what the page says of the loaded model and of the others."""
    name, known = service.backbone.display_name, vocabulary_of(service.backbone)
    models, loaded = _models(name)

    def texts_of(labels: Texts) -> Texts:
        return {
            "toys_note": toys_note(known, labels),
            "known_chips": known_chips(known, labels),
            "size_warning": f'<p class="field-error" role="status">{size_warning(service, labels)}</p>',
            "other_sizes_help": f'<p class="hint" id="other-sizes-help">{size_warning(service, labels)}</p>',
            "model_line": f'<p class="hint">{escape(model_line(service, labels))}</p>',
            "model_menu": model_menu(models, loaded, labels),
            "sampler_help": sampler_help(service.backbone.schedulers, labels),
        }

    return texts_of


def toys_note(known: Vocabulary | None, labels: Texts) -> str:
    """Return HTML that says what the loaded weights can make; empty for a model of the real world."""
    comma = "、" if labels["locale"] == "zh" else ", "
    toys = comma.join(labels[key] for key in known_phrases(known).get("toy", {}).values())
    return f'<p class="hint">{escape(labels["makes_toys"].format(toys=toys))}</p>' if toys else ""


def known_chips(known: Vocabulary | None, labels: Texts) -> str:
    """Return HTML of what can be written into the prompt, as buttons in groups of which one is open.

    The model reads English, so that the buttons write English and only explain themselves in other languages.
    """
    groups = {kind: phrases for kind, phrases in known_phrases(known).items() if phrases}
    if not groups:
        return ""
    first = next(iter(groups))
    choices = "".join(
        f'<label><input type="radio" name="known" value="{kind}"{" checked" if kind == first else ""}>'
        f"{escape(labels[_KINDS[kind]])}</label>"
        for kind in groups
    )
    rows = "".join(
        f'<div class="known-row {kind}">{"".join(_known_chip(kind, *pair, labels) for pair in phrases.items())}</div>'
        for kind, phrases in groups.items()
    )
    return f'<fieldset class="known-groups"><legend>{escape(labels["knows"])}</legend>{choices}{rows}</fieldset>'


def _known_chip(kind: PhraseKind, phrase: str, key: str, labels: Texts) -> str:
    meaning = labels.get(key, phrase)
    gloss = "" if meaning == phrase else f" <small>{escape(meaning)}</small>"
    return f'<button type="button" class="known" data-kind="{kind}" data-known="{phrase}">{phrase}{gloss}</button>'


def sampler_help(offered: Sequence[str], labels: Texts) -> str:
    """Return what is to be known about the samplers that the loaded model offers, and about no others."""
    said = [labels["sampler_info"], *([labels["sampler_unipc"]] if "unipc" in offered else [])]
    noisy = [SAMPLER_TITLES[name] for name in offered if name in NOISY]
    if len(noisy) == 1:
        said.append(labels["sampler_noise"].format(name=noisy[0]))
    elif noisy:
        names = reduce(lambda one, two: labels["both"].format(one=one, two=two), noisy)
        said.append(labels["sampler_noises"].format(names=names))
    said += [labels["sampler_distilled"]] if DISTILLED in offered else []
    return reduce(lambda one, two: labels["sentences"].format(one=one, two=two), said)


def model_line(service: Service, labels: Texts) -> str:
    """Describe the loaded model in a line."""
    name, steps = service.backbone.display_name, service.defaults.steps
    return labels["model_facts"].format(name=name, sizes=_sizes(service), steps=steps)


def size_warning(service: Service, labels: Texts) -> str:
    """Return what to expect of sizes that the weights were not made for."""
    return labels["size_untrained"].format(sizes=_sizes(service))


def _sizes(service: Service) -> str:
    return ", ".join(f"{width} × {height}" for width, height in service.sizes.made_for)


def model_menu(models: Iterable[AvailableModel], loaded: str, labels: Texts) -> str:
    """Return HTML of every model with the command that serves it, or that fetches what is missing.

    Args:
        models: of this machine and of the hub.
        loaded: the key of the one that is served now.
        labels: of a language.
    """
    items = "".join(_item(model, model.key == loaded, labels) for model in models)
    return f"<details><summary>{labels['models']}</summary><ul class='models'>{items}</ul></details>"


def _models(name: str) -> tuple[tuple[AvailableModel, ...], str]:
    """All models, and the key of the loaded one, which may be a folder."""
    folder = Path(name)
    given = folder.exists() and name != TOYBOX
    models = (*available_models((folder,) if given else ()), image_encoder_state(), face_state())
    return models, str(folder) if given else name


def _item(model: AvailableModel, loaded: bool, labels: Texts) -> str:
    mark = ' aria-current="true"' if loaded else ""
    what = escape(", ".join(filter(None, (_title(model, labels), _size(model, labels)))))
    return f"<li{mark}><strong>{escape(_shown(model))}</strong> <span>{what}</span>{_how(model)}</li>"


def _title(model: AvailableModel, labels: Texts) -> str:
    if model.key in _TITLED:
        return labels[_TITLED[model.key]]
    if model.complete:
        return labels["toybox_here"]
    return labels["kind_unknown"] if model.title == UNKNOWN else model.title


def _size(model: AvailableModel, labels: Texts) -> str:
    if model.size is not None:
        return f"{model.size / GIGABYTE:.2g} GB"
    return "" if model.download is None else labels["about_size"].format(size=format_gigabytes(model.download))


def _shown(model: AvailableModel) -> str:
    """A model's name; of a folder without its path, which visitors need not know."""
    return Path(model.key).name if model.where == "folder" else model.key


def _how(model: AvailableModel) -> str:
    """What to type to load or fetch a model."""
    if not model.present:
        why = f"<span>{escape(model.missing)}</span> " if model.missing else ""
        return f"<br>{why}<code>{escape(model.how_to_get)}</code>"
    if model.helper:
        return ""
    flag = "--model" if model.complete else "--adapter adapter.safetensors --base"
    return f"<br><code>python app.py {flag} {escape(_shown(model))}</code>"
