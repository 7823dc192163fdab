"""What a person was at, kept in their own browser: words and numbers for good, photos as long as the tab is open.

The browser keeps of a photo only the name of the uploaded file; the server holds the file for a day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from demo.server.limits import MAX_SUBJECTS
from demo.web.static_files import static
from mmdiff_core.types import ALL_COMPONENTS

STUDIO, COMPARE = "mmdiff-studio", "mmdiff-compare"  # what the browser keeps is under these keys
_AREAS = {STUDIO: "#left", COMPARE: "#compare-fields"}  # of the fields

OF_A_MODEL = ("steps", "guidance", "start_step", "width", "height", "sampler")

_PARTS = tuple(vars(ALL_COMPONENTS))


def save_script(names: Sequence[str], model: str, key: str = STUDIO) -> str:
    """JavaScript that keeps the inputs of an event under these names, with the model that their numbers are for."""
    script = _with_key(static("form/browser_draft_save.js"), key)
    return script.replace("NAMES", json.dumps(list(names))).replace("MODEL", json.dumps(model))


def load_script(key: str = STUDIO) -> str:
    """JavaScript that fetches the draft, as the one input of an event, and locks the fields until it is in them."""
    return _with_key(static("form/browser_draft_load.js"), key)


def unlock_script(key: str = STUDIO) -> str:
    """JavaScript that unlocks the fields."""
    return _with_key(static("form/browser_draft_unlock.js"), key)


def _with_key(script: str, key: str) -> str:
    return script.replace("KEY", json.dumps(key)).replace("AREA", json.dumps(_AREAS[key]))


def read_draft(kept: object, model: str) -> dict[str, Any]:
    """What the browser kept, in the layout of a picture's settings; {} where it kept nothing that can be read.

    Numbers that another model's defaults stood behind are left out.
    """
    if not isinstance(kept, dict):
        return {}
    others = {"model", *(() if kept.get("model") == model else OF_A_MODEL)}
    found = {key: value for key, value in kept.items() if "-" not in key and key not in others and value is not None}
    if isinstance(found.get("parts"), list):
        found["parts"] = {name: name in found["parts"] for name in _PARTS}
    count = kept.get("count")
    if isinstance(count, int) and 1 <= count <= MAX_SUBJECTS:
        found["subjects"] = [_subject(kept, number) for number in range(1, count + 1)]
    return found


def _subject(kept: Mapping[str, Any], number: int) -> dict[str, Any]:
    strength, photos = kept.get(f"strength-{number}"), kept.get(f"photos-{number}")
    return {
        "name": str(kept.get(f"name-{number}") or ""),
        "strength": strength if isinstance(strength, int | float) else 1.0,
        "photos": photos if isinstance(photos, list) else [],
    }
