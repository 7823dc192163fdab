"""What a request gives: its steps, and finished images with their maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from mmdiff_core.deprecation import warn_renamed
from mmdiff_core.types import Word

if TYPE_CHECKING:
    from mmdiff_core.maps.attention_maps import AttentionMaps


@dataclass(frozen=True)
class GeneratedImage:
    """A finished image with its maps and everything needed to make it again."""

    image: Image.Image
    seed: int
    maps: AttentionMaps | None
    words: tuple[Word, ...]
    settings: Mapping[str, object]  # under the names of the API's parameters


@dataclass(frozen=True)
class Step:
    """One step of one image. ``finished`` is set at an image's last step; ``result`` at the very last step."""

    image_index: int
    image_count: int
    step: int  # 1 .. steps
    steps: int
    preview: Image.Image
    maps: AttentionMaps | None
    finished: GeneratedImage | None = None
    result: tuple[GeneratedImage, ...] | None = None

    @property
    def picture(self) -> GeneratedImage | None:
        """Return ``finished`` under its old name, which saved programs use."""
        warn_renamed("Step.picture", "Step.finished")
        return self.finished
