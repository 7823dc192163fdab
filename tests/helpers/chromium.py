"""The browser of the tests."""

from __future__ import annotations

import os
import shutil

# The first has no window and no toolbar: it takes about half the processor time.
PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")


def find_chromium() -> str | None:
    """Return the path of the variable CHROMIUM, or of the first installed program, if there is one."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
