"""Sliders with a number. A script, form_panel.js, keeps from the server what is out of a slider's range."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.i18n import I18nData

from demo.form.value_types import is_number


def slider(
    label: I18nData, value: float, minimum: float, maximum: float, step: float, elem_id: str, **more: Any
) -> gr.Slider:
    """Make a slider with a number beside it."""
    return gr.Slider(minimum, maximum, value=value, step=step, label=label, elem_id=elem_id, **more)


def fits_slider(field: Component, value: object) -> bool:
    """Whether a slider can take a value."""
    return isinstance(field, gr.Slider) and is_number(value) and field.minimum <= value <= field.maximum
