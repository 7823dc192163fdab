"""The base model without photos, the lower bound in every table: the stock network without LoRAs.

Its text attention is recorded, too, so that heatmaps can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.generation.conditioning import build_condition
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.generation.sampling import sample
from mmdiff_core.maps.attention_maps import AttentionMaps, Recorder
from mmdiff_core.nn.records import Condition
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.results import GeneratedImage
from mmdiff_core.types import GenerateRequest, Recording

_RECORDING = Recording(("text",))


@torch.no_grad()
def base_images(personalizer: Personalizer, request: GenerateRequest) -> Iterator[GeneratedImage]:
    """Generate an image per seed from the prompt alone; the subjects only name the words to record.

    Raises: as ``Personalizer.validate``.
    """
    backbone, plan = personalizer.backbone, personalizer.plan(request)
    condition = _base_condition(backbone, plan)
    for seed in request.seeds:
        numbers = replace(plan.numbers, seed=seed, start_step=0)
        *_, last = sample(backbone, condition, condition, numbers, Recorder(_RECORDING), AttentionMaps(plan.names))
        yield GeneratedImage(backbone.decode(last.latents)[0], seed, last.maps, plan.words, {"prompt": plan.prompt})


def _base_condition(backbone: Backbone, plan: Plan) -> Condition:
    """Build the condition of the plain text, with the stock network's keys and values in every recordable layer."""
    size = (plan.numbers.width, plan.numbers.height)
    return build_condition(backbone, None, {}, plan.tokens, size=size, negative=plan.negative, recorded=True)
