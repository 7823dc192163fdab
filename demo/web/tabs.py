"""Which tab a page shows that is opened again: the scripts that run once per page."""

from __future__ import annotations

from demo.web.static_files import scripts

# JavaScript of an event whose one input is {"runs": whether a comparison runs}.
TELL_RUNNING = "(running) => { if (running?.runs) document.dispatchEvent(new CustomEvent('mmdiff-comparing')); }"


def page_scripts() -> str:
    """Read the scripts of the whole page."""
    return scripts("web/free_place", "web/page", "web/side_panel", "web/tabs")
