"""What the page says where its server does not know at which path of a site it is served."""

from __future__ import annotations

from demo.web.static_files import static


def sub_path_head() -> str:
    """Return the script as HTML for the page's head."""
    script = static("web/sub_path.js")
    return f"<script>{script}</script>"
