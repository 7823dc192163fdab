"""A draft of the fields in the person's own browser: words and numbers for good, photos while the tab is open.

Of a photo the browser keeps only the path of the uploaded file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from demo.server.limits import MAX_SUBJECTS
from demo.web.static_files import static
from mmdiff_core.types import ALL_COMPONENTS

STUDIO, COMPARE = "mmdiff-studio", "mmdiff-compare"  # the keys of the drafts in the browser's storage
HISTORY = "mmdiff-history"  # the key of what finds the session's pictures again
_AREAS = {STUDIO: "#left", COMPARE: "#compare-fields"}  # of the page that the fields are in

OF_A_MODEL = ("steps", "guidance", "start_step", "width", "height", "sampler")  # what another model may not take

_PARTS = tuple(vars(ALL_COMPONENTS))


def save_script(names: Sequence[str], model: str, key: str = STUDIO) -> str:
    """Return JavaScript that keeps the inputs of an event under these names, with the model that they are for."""
    script = _with_key(static("form/browser_draft_save.js"), key)
    return script.replace("NAMES", json.dumps(list(names))).replace("MODEL", json.dumps(model))


def load_script(key: str = STUDIO) -> str:
    """Return JavaScript that makes the draft the one input of an event, and locks the fields until it is in them."""
    script = _with_key(static("form/browser_draft_load.js"), key)
    return script.replace("OF_LINKS", json.dumps(key == STUDIO))


def unlock_script(key: str = STUDIO) -> str:
    """Return JavaScript that unlocks the fields."""
    return _with_key(static("form/browser_draft_unlock.js"), key)


def load_key_script() -> str:
    """Return JavaScript that makes the keys of the history, as the browser keeps them, the one input of an event."""
    return static("form/browser_draft_key.js").replace("KEY", json.dumps(HISTORY))


def save_key_script() -> str:
    """Return JavaScript that keeps the keys of the history in the tab and in the browser."""
    return static("form/browser_draft_keep_key.js").replace("KEY", json.dumps(HISTORY))


def _with_key(script: str, key: str) -> str:
    return script.replace("KEY", json.dumps(key)).replace("AREA", json.dumps(_AREAS[key]))


def read_draft(draft: object, model: str) -> dict[str, Any]:
    """Return a draft in the layout of a picture's settings; {} where it cannot be read.

    Numbers for another model are left out.
    """
    if not isinstance(draft, dict):
        return {}
    left_out = {"model", *(() if draft.get("model") == model else OF_A_MODEL)}
    record = {
        key: value for key, value in draft.items() if "-" not in key and key not in left_out and value is not None
    }
    if isinstance(record.get("parts"), list):
        record["parts"] = {name: name in record["parts"] for name in _PARTS}
    if isinstance(draft.get("photos-start"), list):
        record["start"] = draft["photos-start"]
    count = draft.get("count")
    if isinstance(count, int) and 1 <= count <= MAX_SUBJECTS:
        record["subjects"] = [_subject(draft, number) for number in range(1, count + 1)]
    return record


def _subject(draft: Mapping[str, Any], number: int) -> dict[str, Any]:
    strength, photos = draft.get(f"strength-{number}"), draft.get(f"photos-{number}")
    return {
        "name": str(draft.get(f"name-{number}") or ""),
        "strength": strength if isinstance(strength, int | float) else 1.0,
        "photos": photos if isinstance(photos, list) else [],
    }
