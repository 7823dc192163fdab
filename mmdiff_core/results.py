"""What a request gives: its steps, and finished pictures with their maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from mmdiff_core.types import Word

if TYPE_CHECKING:
    from mmdiff_core.maps.attention_maps import AttentionMaps


@dataclass(frozen=True)
class Picture:
    """A finished picture with its maps and everything needed to make it again."""

    image: Image.Image
    seed: int
    maps: AttentionMaps | None
    words: tuple[Word, ...]
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Step:
    """One step of one picture. ``picture`` is set at a picture's last step; ``result`` at the very last step."""

    picture_index: int
    picture_count: int
    step: int  # 1 .. steps
    steps: int
    preview: Image.Image
    maps: AttentionMaps | None
    picture: Picture | None = None
    result: tuple[Picture, ...] | None = None
