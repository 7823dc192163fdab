"""How much of a run's attention is recorded for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.viewer.map_encoding import MAX_BYTES_APART
from mmdiff_core.generation.model_summary import ModelSummary
from mmdiff_core.inspection.token_collector import TokenRecording
from mmdiff_core.inspection.token_table import read_tokens
from mmdiff_core.types import MAP_KINDS

if TYPE_CHECKING:
    from demo.server.service import Service
    from mmdiff_core.generation.request_plan import Plan

MAX_BYTES_TOGETHER = 8 * MAX_BYTES_APART  # of a comparison, all of whose pictures are kept


def with_map_budget(plan: Plan, service: Service, pictures: int = 1) -> Plan:
    """Return the plan with the maps of every head where they are light enough for the browser, else averaged.

    Args:
        plan: one that records all words.
        service: the model, whose layers decide the weight.
        pictures: how many images are kept together.
    """
    summary = service.summary((plan.numbers.width, plan.numbers.height))
    return plan.with_heads(heads_fit(summary, len(plan.words), len(plan.others), plan.numbers.steps, pictures))


def token_recording(plan: Plan, service: Service, concepts: tuple[str, ...] = ()) -> TokenRecording:
    """Return what to record of an inspected prompt: everything, and every head where that is light enough.

    Args:
        plan: of a prompt without subjects.
        service: the model.
        concepts: words that are not in the prompt.
    """
    rows = len(read_tokens(service.backbone.tokenizers[0], plan.prompt, plan.tokens[0].ids.shape[1]).tokens)
    summary = service.summary((plan.numbers.width, plan.numbers.height))
    per_head = heads_fit(summary, 0, rows + len(concepts), plan.numbers.steps)
    return TokenRecording(concepts=concepts, per_head=per_head)


def heads_fit(summary: ModelSummary, subjects: int, words: int, steps: int, pictures: int = 1) -> bool:
    """Tell whether the maps of every head are light enough to be looked at in the browser.

    Args:
        summary: of the model at the image's size.
        subjects: how many.
        words: of the prompt that no subject owns.
        steps: of the image.
        pictures: how many images are kept together.
    """
    pixels = sum(group.layers * group.heads * group.size[0] * group.size[1] for group in summary.groups)
    weight = pixels * steps * (subjects * len(MAP_KINDS) + words)
    return weight <= MAX_BYTES_APART and weight * pictures <= MAX_BYTES_TOGETHER
