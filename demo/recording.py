"""How much of a run's attention the page asks for."""

from __future__ import annotations

from demo.packing import MOST_APART
from mmdiff_core.anatomy import Anatomy
from mmdiff_core.types import STREAMS, Recording


def recording_for(anatomy: Anatomy, subjects: int, words: int, steps: int) -> Recording:
    """All words' maps; every head's, too, where they are light enough to be looked at in the browser.

    Args:
        anatomy: of the model at the picture's size.
        subjects: how many.
        words: of the prompt that no subject owns.
        steps: of the picture.
    """
    pixels = sum(group.layers * group.heads * group.size[0] * group.size[1] for group in anatomy.groups)
    maps = steps * (subjects * len(STREAMS) + words)
    return Recording(per_head=pixels * maps <= MOST_APART, words=True)
