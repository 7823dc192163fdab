"""Why a picture of a comparison has no map of a kind, in place of the map."""

from __future__ import annotations

from mmdiff_core.maps.heatmap import is_flat
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import MAP_KINDS, MapKind

_OF_PHOTOS: tuple[MapKind, ...] = ("image", "influence")  # what only a branch that looks at photos has


def map_gaps(picture: GeneratedImage) -> dict[MapKind, str]:
    """Return the key of a text for each kind of map that points nowhere, or that there is none of."""
    return {kind: _reason(picture, kind) for kind in MAP_KINDS if not _points(picture, kind)}


def _points(picture: GeneratedImage, kind: MapKind) -> bool:
    """Whether the map of a subject points somewhere."""
    maps = picture.maps
    if maps is None or not maps.records or kind not in maps.kinds:
        return False
    return any(not is_flat(maps.at(subject, kind)) for subject in range(len(maps.subjects)))


def _reason(picture: GeneratedImage, kind: MapKind) -> str:
    settings, parts = picture.settings, picture.settings["parts"]
    assert isinstance(parts, dict)
    if not picture.words:
        return "gap_no_photos"
    if not parts["image_branch"] and not parts["vision_text"]:
        return "gap_photos_off"
    if not parts["image_branch"] and kind in _OF_PHOTOS:
        return "gap_image_branch"
    if kind in _OF_PHOTOS and settings["start_step"] == settings["steps"]:
        return "gap_late"
    return "gap_alone" if kind == "image" and len(picture.words) == 1 else "gap_even"
