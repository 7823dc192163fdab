"""One panel per part of the page. ``render()`` makes its components, ``listen()`` ties them to each other."""

from __future__ import annotations

from typing import Any

Update = dict[Any, Any]

# For events that only touch the page: answered at once, without a spinner, and no business of other programs.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# The same for events that may have something to say: Gradio shows messages of queued events only.
WITH_MESSAGES: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
