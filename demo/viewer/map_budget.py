"""How much of a run's attention the page asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.viewer.map_encoding import MAX_BYTES_APART
from mmdiff_core.encoders.prompt import other_words
from mmdiff_core.generation.model_summary import ModelSummary
from mmdiff_core.types import MAP_KINDS, Recording

if TYPE_CHECKING:
    from mmdiff_core.generation.request_plan import Plan
    from mmdiff_core.pipeline import Personalizer

MAX_BYTES_TOGETHER = 8 * MAX_BYTES_APART  # of a comparison, whose pictures are all kept


def recording_for_plan(personalizer: Personalizer, plan: Plan, pictures: int = 1) -> Recording:
    """What is recorded of a plan's pictures; ``pictures`` is how many are kept with them."""
    anatomy = personalizer.anatomy((plan.numbers.width, plan.numbers.height))
    others = len(other_words(plan.prompt, plan.words))
    return recording_for_size(anatomy, len(plan.words), others, plan.numbers.steps, pictures)


def recording_for_size(anatomy: ModelSummary, subjects: int, words: int, steps: int, pictures: int = 1) -> Recording:
    """All words' maps; every head's, too, where they are light enough to be looked at in the browser.

    Args:
        anatomy: of the model at the picture's size.
        subjects: how many.
        words: of the prompt that no subject owns.
        steps: of the picture.
        pictures: how many are kept together.
    """
    pixels = sum(group.layers * group.heads * group.size[0] * group.size[1] for group in anatomy.groups)
    weight = pixels * steps * (subjects * len(MAP_KINDS) + words)
    return Recording(per_head=weight <= MAX_BYTES_APART and weight * pictures <= MAX_BYTES_TOGETHER, words=True)
