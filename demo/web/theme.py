"""The look of the page: Gradio's theme with readable contrasts, and our style sheets."""

from __future__ import annotations

import gradio as gr

from demo.web.static_files import DEMO

_SHEETS = (  # in the order of the cascade
    *(
        "web/page",
        "web/undo",
        "studio/tab",
        "studio/compose_panel",
        "inspect/inspect_panel",
        "studio/face_picker",
        "web/fields",
        "studio/cutout_dialog",
    ),
    *("viewer/viewer", "viewer/readout", "viewer/maps", "viewer/tokens", "viewer/timeline"),
    *("viewer/leakage", "viewer/guide"),
    "live/live_switch",
    *("compare/panel", "compare/grid", "compare/lens", "vote/ballot", "about/tab"),
)
STYLE_SHEETS = tuple(DEMO / f"{name}.css" for name in _SHEETS)


def theme() -> gr.themes.Base:
    """Return Gradio's default theme with contrasts that pass WCAG AA in light and dark, and fonts of this server."""
    # The semi-bold cut that Gradio ships of this font lacks most letters, so the bold one stands in.
    font = (gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif")
    return gr.themes.Default(primary_hue="indigo", radius_size="lg", font=font).set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_text_color="white",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
