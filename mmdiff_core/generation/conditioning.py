"""From a plan's photos and prompt to the one frozen record that conditions a denoising step.

Generation goes through ``condition_request``; it and training share ``build_condition``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor

from mmdiff_core.backbones.base import Backbone, TextDeltas
from mmdiff_core.backbones.processors import cross_attention_layers
from mmdiff_core.encoders.photo_cache import PhotoCache, content_key
from mmdiff_core.encoders.text import FusedWords, fuse_words
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.generation.subject_embedding import embed_subjects
from mmdiff_core.nn.adapter import LayerWeights, MMDiffAdapter
from mmdiff_core.nn.attention import split_heads
from mmdiff_core.nn.map_recording import recorded_keys
from mmdiff_core.nn.records import Condition, KeyValue, LayerCondition, PromptTokens, SubjectEmbeddings, TextStates
from mmdiff_core.types import ALL_COMPONENTS, Components


@dataclass(frozen=True)
class Conditions:
    """A plan, and what conditions its steps."""

    plan: Plan
    plain: Condition  # of the first ``start_step`` steps (delayed merging, section 3.4)
    personal: Condition  # of the other steps


@dataclass(frozen=True)
class EncodedPrompts:
    """What prompt and negative prompt became."""

    text: TextStates
    unconditional: TextStates | None  # None: no guidance


@torch.no_grad()
def condition_request(
    plan: Plan,
    backbone: Backbone,
    adapter: MMDiffAdapter | None,
    weights: Mapping[str, LayerWeights],
    photos: PhotoCache | None = None,
    recorded: bool | None = None,
) -> Conditions:
    """Encode a plan's photos and prompt.

    Args:
        plan: from ``plan_request`` with the same backbone and adapter.
        backbone: the model.
        adapter: None for the stock model.
        weights: ``MergedWeights(adapter, backbone.unet).current()``; empty without an adapter.
        photos: features of photos that were encoded before, and perhaps of the prompt.
        recorded: prepare for recording, by default if the plan says so.
    """
    cache = PhotoCache() if photos is None else photos
    key = encoding_key(plan, backbone, adapter)

    def condition(subjects: SubjectEmbeddings | None) -> Condition:
        components, clip_skip = plan.request.components, plan.request.clip_skip
        given = (backbone, plan.tokens, plan.negative, adapter, subjects, components, clip_skip)
        part = "plain prompts" if subjects is None else "prompts"
        encoded = cache.recall(key, part, lambda: encode_both_prompts(*given))
        return build_condition(
            backbone,
            adapter,
            weights,
            plan.tokens,
            subjects,
            torch.tensor([[subject.scale for subject in plan.subjects]]),
            size=(plan.numbers.width, plan.numbers.height),
            negative=plan.negative,
            components=plan.request.components,
            word_gating=plan.request.word_gating,
            regions=plan.regions,
            clip_skip=plan.request.clip_skip,
            guidance=plan.numbers.guidance,
            recorded=plan.recording is not None if recorded is None else recorded,
            encoded=encoded,
        )

    personal = condition(cache.recall(key, "subjects", lambda: embed_subjects(plan, backbone, adapter, cache)))
    return Conditions(plan, condition(None) if plan.numbers.start_step else personal, personal)


def encoding_key(plan: Plan, backbone: Backbone, adapter: MMDiffAdapter | None) -> Hashable:
    """Return all that decides what a plan's photos and prompts are encoded to, by the content of the photos."""
    request = plan.request
    subjects = tuple(
        (
            *(subject.name, tuple(map(content_key, subject.photos))),
            tuple((content_key(face.crop), tuple(face.embedding), face.weight) for face in subject.faces),
        )
        for subject in plan.subjects
    )
    return (
        *(backbone, adapter, request.prompt, request.negative_prompt, plan.negative is None, subjects),
        *(None if plan.regions is None else content_key(plan.regions), request.components),
        *(request.clip_skip, request.balance_photos),
    )


def encode_both_prompts(
    backbone: Backbone,
    tokens: Sequence[PromptTokens],
    negative: Sequence[PromptTokens] | None,
    adapter: MMDiffAdapter | None,
    subjects: SubjectEmbeddings | None,
    components: Components = ALL_COMPONENTS,
    clip_skip: int = 0,
) -> EncodedPrompts:
    """Encode a batch of prompts, and the negative prompt where there is one; arguments as :func:`build_condition`."""
    adapter = adapter if components.use_photos else None
    text = encode_prompts(backbone, tokens, adapter, subjects, clip_skip)
    if negative is None:
        return EncodedPrompts(text, None)
    return EncodedPrompts(text, backbone.encode_negative(negative, _text_deltas(backbone, adapter)))


def encode_prompts(
    backbone: Backbone,
    tokens: Sequence[PromptTokens],
    adapter: MMDiffAdapter | None = None,
    subjects: SubjectEmbeddings | None = None,
    clip_skip: int = 0,
) -> TextStates:
    """Encode a batch of prompts, with the subjects' photos fused into their words if there are ``subjects``.

    They join before the text encoder or, where the adapter says so, behind it. The adapter's LoRA on the text encoders,
    if it has any, is on with and without subjects.
    """
    encoders = range(len(backbone.text_encoders))
    plain: list[FusedWords | None] = [None for _ in encoders]
    deltas = _text_deltas(backbone, adapter)
    if adapter is None or subjects is None or not subjects.words:
        return backbone.encode_text(tokens, plain, deltas, clip_skip)
    fused = [FusedWords(adapter.word_fusions[i], subjects.words[i]) for i in encoders]
    if not adapter.config.fuse_after:
        return backbone.encode_text(tokens, fused, deltas, clip_skip)
    text = backbone.encode_text(tokens, plain, deltas, clip_skip)
    return replace(text, states=fuse_words(text.states, tokens[0].words.to(text.states.device), fused[0]))


def _text_deltas(backbone: Backbone, adapter: MMDiffAdapter | None) -> list[TextDeltas]:
    return [{} if adapter is None else adapter.text_encoder_deltas(i) for i in range(len(backbone.text_encoders))]


def build_condition(
    backbone: Backbone,
    adapter: MMDiffAdapter | None,
    weights: Mapping[str, LayerWeights],
    tokens: Sequence[PromptTokens],
    subjects: SubjectEmbeddings | None = None,
    scales: Tensor | None = None,
    *,
    size: tuple[int, int],
    negative: Sequence[PromptTokens] | None = None,
    components: Components = ALL_COMPONENTS,
    word_gating: float = 0.0,
    regions: Tensor | None = None,
    clip_skip: int = 0,
    guidance: float = 1.0,
    recorded: bool = False,
    encoded: EncodedPrompts | None = None,
) -> Condition:
    """Build what conditions a denoising step, with keys and values of every layer computed.

    Args:
        backbone: the model whose text encoders are used.
        adapter: None for the stock model.
        weights: ``adapter.weights(backbone.unet)``; empty without an adapter.
        tokens: one batch (B, T) per text encoder.
        subjects: what the photos became; None for the plain text without an image term (delayed merging).
        scales: (B, S) weight of each subject's image term; 1 by default.
        size: (width, height) of the images in pixels.
        negative: the negative prompt per text encoder, for classifier-free guidance. It becomes a first half of the
            batch without any photo: plain text, no subject token present, scales of 0; or the tokens of blank photos
            where the ``subjects`` bring them.
        components: as given to ``adapter.embed``; if no photo enters at all, the adapter's LoRAs are off as well.
        word_gating: how much each subject's image term is kept to where its word is seen, 0 to 1.
        regions: (B, S, h, w) in [0, 1], where each subject may be, at the size of the latents; None: everywhere.
        clip_skip: layers of the text encoders to leave out; as in stock pipelines, not for the negative prompt.
        guidance: for a UNet that reads it.
        recorded: most steps are going to be recorded: prepare for it. Not for training, where every step is another
            condition, and layers may run twice.
        encoded: what ``tokens`` and ``negative`` are encoded to, where that is known.
    """
    adapter = adapter if components.use_photos else None
    encoded = encoded or encode_both_prompts(backbone, tokens, negative, adapter, subjects, components, clip_skip)
    text = encoded.text
    words = tokens[0].words.to(text.states.device)  # (B, S); the encoders share their vocabulary
    scales = (torch.ones(words.shape) if scales is None else scales).to(text.states)
    condition = Condition(
        text=text,
        subjects=subjects,
        words=words,
        scales=scales,
        conditional=torch.ones(len(words), dtype=torch.bool),
        word_gating=word_gating,
        regions=None if regions is None else regions.to(words.device),
        pieces=None if tokens[0].pieces is None else tokens[0].pieces.to(words.device),
    )
    if encoded.unconditional is not None:
        condition = _with_unconditional_half(condition, encoded.unconditional)
    condition = replace(condition, added=backbone.added_conditions(condition.text, size, guidance))
    if adapter is None:
        return condition.with_layers(stock_layers(backbone, condition.text)) if recorded else condition
    if subjects is not None and subjects.blank is not None:
        subjects, scales = condition.subjects, condition.scales  # of both halves
    # Else the unconditional half sees no photo, so that the image term is made for the conditional rows alone.
    layers = adapter.condition_layers(weights, condition.text.states, subjects, scales, components.null_token)
    return condition.with_layers(with_recorded_keys(layers, condition) if recorded else layers)


def stock_layers(backbone: Backbone, text: TextStates) -> dict[str, LayerCondition]:
    """Return the stock network's keys and values of every cross-attention layer, so that it can be recorded."""
    layers = {}
    with backbone.placement.using(backbone.unet):
        for layer in cross_attention_layers(backbone.unet):
            attn = cast(Attention, backbone.unet.get_submodule(layer.path))
            key, value = (split_heads(project(text.states), attn.heads) for project in (attn.to_k, attn.to_v))
            layers[layer.path] = LayerCondition(text=KeyValue(key, value))
    return layers


def with_recorded_keys(layers: Mapping[str, LayerCondition], condition: Condition) -> dict[str, LayerCondition]:
    """Return the layers with what recording needs of the cross-attention, once for all steps."""
    words, owned, rows = condition.map_words, condition.owned, condition.conditional_rows
    return {
        path: layer
        if layer.text is None
        else replace(layer, recorded_keys=recorded_keys(layer.text, layer.image, words, owned, rows))
        for path, layer in layers.items()
    }


def _with_unconditional_half(condition: Condition, unconditional: TextStates) -> Condition:
    """Return the batch [unconditional, conditional]; the first half has no subject, or blank ones."""
    scales, subjects = condition.scales, condition.subjects
    blank = subjects is not None and subjects.blank is not None
    return replace(
        condition,
        text=_both_halves(unconditional, condition.text),
        subjects=subjects and _with_first_half(subjects),
        words=torch.cat([torch.full_like(condition.words, -1), condition.words]),
        pieces=None
        if condition.pieces is None
        else torch.cat([torch.full_like(condition.pieces, -1), condition.pieces]),
        scales=torch.cat([scales if blank else torch.zeros_like(scales), scales]),
        conditional=torch.cat([torch.zeros_like(condition.conditional), condition.conditional]),
        regions=None if condition.regions is None else torch.cat([condition.regions] * 2),
    )


def _both_halves(unconditional: TextStates, conditional: TextStates) -> TextStates:
    """Join (1, T, D) and (B, T, D) to (2B, T, D), and likewise the pooled vectors."""
    states = torch.cat([unconditional.states.expand_as(conditional.states), conditional.states])
    if unconditional.pooled is None or conditional.pooled is None:
        return TextStates(states)
    return TextStates(states, torch.cat([unconditional.pooled.expand_as(conditional.pooled), conditional.pooled]))


def _with_first_half(subjects: SubjectEmbeddings) -> SubjectEmbeddings:
    """Return the batch [unconditional, conditional] of subjects: absent ones first, or blank ones."""
    tokens, present, blank = subjects.tokens, subjects.present, subjects.blank
    return replace(
        subjects,
        words=tuple(torch.cat([torch.zeros_like(vectors), vectors]) for vectors in subjects.words),
        tokens=torch.cat([torch.zeros_like(tokens) if blank is None else blank, tokens]),
        present=torch.cat([torch.zeros_like(present) if blank is None else present, present]),
        weights=None if subjects.weights is None else torch.cat([torch.ones_like(subjects.weights), subjects.weights]),
        blank=None if blank is None else torch.cat([blank, blank]),
    )
