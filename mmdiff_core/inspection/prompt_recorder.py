"""Records what an image of our own denoising loop attends to in its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.backbones.processors import (
    LayerSizes,
    cross_attention_layers,
    layer_sizes,
    self_attention_layers,
)
from mmdiff_core.encoders.prompt import tokenize
from mmdiff_core.generation.conditioning import Conditions, build_condition
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.inspection.token_collector import ConceptKeys, TokenCollector, TokenRecording, check_recording
from mmdiff_core.inspection.token_maps import TokenMaps
from mmdiff_core.inspection.token_table import concept_places, read_tokens
from mmdiff_core.maps.attention_maps import Recorder
from mmdiff_core.nn.adapter import LayerWeights, MMDiffAdapter
from mmdiff_core.nn.records import LayerCondition, LayerMaps
from mmdiff_core.results import Step
from mmdiff_core.types import Recording

LOOKING_PIXELS = 32 * 32  # of a self-attention layer that is chosen without being named: 2 MB of maps


@dataclass(frozen=True)
class InspectedStep:
    """One step of an image, and where the image has looked so far."""

    step: Step
    tokens: TokenMaps


class PromptRecorder(Recorder):
    """A recorder of one image that keeps every token's maps beside those of the subjects.

    Args:
        plan: of the image.
        collector: of the image's tokens.
    """

    def __init__(self, plan: Plan, collector: TokenCollector) -> None:
        super().__init__(plan.recording or Recording(()))
        self._collector, self._steps = collector, plan.numbers.made

    @property
    def tokens(self) -> TokenMaps:
        """Return the maps of the steps so far."""
        return self._collector.images[0]

    def begin_step(self, step: int = 0) -> None:
        super().begin_step(step)
        self._collector.begin_step(step, self._steps)

    def take_keys(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        self._collector.take(path, size, query, key)

    def take_self_keys(self, path: str, size: tuple[int, int], query: Tensor, key: Tensor) -> None:
        self._collector.take_self(path, size, query, key)

    def seal(self) -> tuple[LayerMaps, ...]:
        self._collector.end_step()
        return super().seal()


def check_tokens(plan: Plan, backbone: Backbone, tokens: TokenRecording) -> None:
    """Check what is to be recorded of a plan's prompt before any work is done.

    Raises:
        PromptError: a word is not in the prompt, or a concept has none.
        SettingsError: there is no such layer or step, or the budget cannot be read.
    """
    cross, self_layers = cross_attention_layers(backbone.unet), self_attention_layers(backbone.unet)
    check_recording(tokens, [layer.path for layer in cross], [layer.path for layer in self_layers])
    _collector(plan, backbone, tokens).begin_step(0, plan.numbers.made)
    for name in tokens.concepts:
        concept_places(backbone.tokenizers[0], name)


def record_plan(plan: Plan, backbone: Backbone, tokens: TokenRecording, concepts: ConceptKeys) -> PromptRecorder:
    """Return a recorder of one of a plan's images; ``concepts`` are of :func:`encode_concepts`."""
    return PromptRecorder(plan, _collector(plan, backbone, tokens, concepts))


def looking_layer(backbone: Backbone, width: int, height: int, most: int = LOOKING_PIXELS) -> str:
    """Return the last of the finest self-attention layers of at most ``most`` pixels; of the coarsest if all are finer.

    Args:
        backbone: the model.
        width, height: of the image in pixels.
        most: pixels of the layer.
    """
    paths = [layer.path for layer in self_attention_layers(backbone.unet)]
    paths.sort(key=lambda path: path.startswith("up_blocks"))  # which come last, as nowhere in the UNet's own list
    pixels = {path: h * w for path, (h, w) in _layer_sizes(backbone, width, height, paths).items()}
    limit = max(most, min(pixels.values()))
    finest = max(count for count in pixels.values() if count <= limit)
    return next(path for path in reversed(paths) if pixels[path] == finest)


def with_self_attention(conditions: Conditions, tokens: TokenRecording) -> Conditions:
    """Return the conditions with the self-attention layer that is recorded, which may have nothing of its own."""
    if tokens.self_attention is None:
        return conditions
    path = tokens.self_attention[0]
    plain, personal = (
        condition.with_layers({path: LayerCondition(), **condition.layers})
        for condition in (conditions.plain, conditions.personal)
    )
    return replace(conditions, plain=plain, personal=personal)


def encode_concepts(
    names: Sequence[str],
    plan: Plan,
    backbone: Backbone,
    adapter: MMDiffAdapter | None,
    weights: Mapping[str, LayerWeights],
) -> ConceptKeys:
    """Return what gives each concept's keys in a layer, which are made as those of the prompt are.

    Args:
        names: of the concepts.
        plan: of the images.
        backbone, adapter, weights: as in ``condition_request``.
    """
    found: list[dict[str, Tensor]] = []
    for name in names:
        places = concept_places(backbone.tokenizers[0], name)
        condition = build_condition(
            backbone,
            adapter,
            weights,
            [tokenize(tokenizer, name) for tokenizer in backbone.tokenizers],
            size=(plan.numbers.width, plan.numbers.height),
            components=plan.request.components,
            clip_skip=plan.request.clip_skip,
            recorded=True,
        )
        layers = condition.layers.items()
        found.append({path: layer.text.key[:, :, places] for path, layer in layers if layer.text is not None})
    return lambda path: [keys[path] for keys in found]


def _collector(
    plan: Plan, backbone: Backbone, tokens: TokenRecording, concepts: ConceptKeys | None = None
) -> TokenCollector:
    """Return the collector of one image of a plan, with room for its self-attention."""
    table = read_tokens(backbone.tokenizers[0], plan.prompt, plan.tokens[0].ids.shape[1])
    collector = TokenCollector([table], tokens, concepts)
    if tokens.self_attention is not None:
        path, numbers = tokens.self_attention[0], plan.numbers
        collector.reserve(_layer_sizes(backbone, numbers.width, numbers.height, [path])[path])
    return collector


def _layer_sizes(backbone: Backbone, width: int, height: int, paths: Sequence[str]) -> LayerSizes:
    latents = backbone.draw_noise(torch.Generator(), width, height)
    return layer_sizes(backbone.unet, latents.shape[2], latents.shape[3], paths)
