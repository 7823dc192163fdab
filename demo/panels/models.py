"""The models there are: the one that is loaded, those that can be, and how to get the others."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from demo.texts import text
from mmdiff_core.backbones.registry import AvailableModel, available_models, face_state, image_encoder_state

GIGABYTE = 10**9


def model_menu(loaded: str) -> str:
    """HTML: every model of this machine with the command that serves it, and the command that fetches what is missing.

    Args:
        loaded: the key of the model that is served now.
    """
    models = (*available_models(), image_encoder_state(), face_state())
    items = "".join(_items(models, loaded))
    return f"<details><summary>{text('models')}</summary><ul class='models'>{items}</ul></details>"


def _items(models: Iterable[AvailableModel], loaded: str) -> Iterable[str]:
    for model in models:
        size = "" if model.size is None else f", {model.size / GIGABYTE:.2g} GB"
        mark = ' aria-current="true"' if model.key == loaded else ""
        name, title = escape(model.key), escape(model.title)
        yield f"<li{mark}><strong>{name}</strong> <span>{title}{size}</span>{_how(model)}</li>"


def _how(model: AvailableModel) -> str:
    """What to type for a model."""
    if not model.present:
        why = f"<span>{escape(model.missing)}</span> " if model.missing else ""
        return f"<br>{why}<code>{escape(model.how_to_get)}</code>"
    if model.helper:
        return ""
    flag = "--model" if model.complete else "--adapter adapter.safetensors --base"
    return f"<br><code>python app.py {flag} {escape(model.key)}</code>"
