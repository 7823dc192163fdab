"""Options of events. A panel's ``render()`` makes its components, and its ``listen()`` connects them."""

from __future__ import annotations

from typing import Any

Update = dict[Any, Any]

# For events that only change the page: answered at once, without a spinner, and not part of the API.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# For such events with messages: Gradio shows messages of queued events only.
WITH_MESSAGES: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
