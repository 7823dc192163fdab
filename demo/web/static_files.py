"""The page's scripts, style sheets and templates: each lies beside the module that loads it."""

from __future__ import annotations

from pathlib import Path

DEMO = Path(__file__).parents[1]
SHARED = ("web/dom", "web/i18n")  # helpers that every component's script may use


def static(path: str) -> str:
    """Read a script, sheet or template; ``path`` is relative to ``demo/``."""
    return (DEMO / path).read_text(encoding="utf-8")


def scripts(*names: str) -> str:
    """Read the scripts of a component, ``viewer/maps`` for ``viewer/maps.js``, in their order after the shared ones.

    Gradio makes one function of them, so that they see each other's functions and no other component's.
    """
    return "\n".join(static(f"{name}.js") for name in (*SHARED, *names))
