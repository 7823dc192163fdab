"""The scripts in the page's head, which run before Gradio's."""

from __future__ import annotations

from demo.web.static_files import static

_SCRIPTS = ("web/head_sub_path", "web/head_clones")


def head() -> str:
    """Return the scripts as HTML."""
    return "".join(f"<script>{static(f'{name}.js')}</script>" for name in _SCRIPTS)
