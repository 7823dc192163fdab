"""From a plan's photos and prompt to the one frozen record that conditions a denoising step.

Generation goes through ``condition_request``; it and training share ``build_condition``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmdiff_core.backbones.base import Backbone, TextDeltas
from mmdiff_core.encoders.face import token_weights
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.photo import prepare_photo
from mmdiff_core.encoders.photo_cache import PhotoCache, encode_photo
from mmdiff_core.encoders.text import FusedWords, fuse_words
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.nn.adapter import LayerWeights, MMDiffAdapter
from mmdiff_core.nn.attention import recorded_keys
from mmdiff_core.nn.config import FACE_WIDTH
from mmdiff_core.nn.records import Condition, ImageFeatures, LayerCondition, PromptTokens, SubjectEmbeddings, TextStates
from mmdiff_core.types import ALL_COMPONENTS, Components, Subject


@dataclass(frozen=True)
class Conditions:
    """A plan, and what conditions its steps."""

    plan: Plan
    plain: Condition  # of the first ``start_step`` steps (delayed merging, section 3.4)
    personal: Condition  # of the other steps


@torch.no_grad()
def condition_request(
    plan: Plan,
    backbone: Backbone,
    adapter: MMDiffAdapter | None,
    weights: Mapping[str, LayerWeights],
    photos: PhotoCache | None = None,
) -> Conditions:
    """Encode a plan's photos and prompt.

    Args:
        plan: from ``plan_request`` with the same backbone and adapter.
        backbone: the model.
        adapter: None for the stock model.
        weights: ``MergedWeights(adapter, backbone.unet).current()``; empty without an adapter.
        photos: features of photos that were encoded before.
    """

    def condition(subjects: SubjectEmbeddings | None) -> Condition:
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
            recorded=plan.recording is not None,
        )

    personal = condition(embed_subjects(plan, backbone, adapter, photos))
    return Conditions(plan, condition(None) if plan.numbers.start_step else personal, personal)


def embed_subjects(
    plan: Plan, backbone: Backbone, adapter: MMDiffAdapter | None, photos: PhotoCache | None = None
) -> SubjectEmbeddings | None:
    """Turn photos into features (CLS, patches) and those into subject embeddings (text width, refined)."""
    encoder = backbone.image_encoder
    if adapter is None or not plan.subjects:
        return None
    components = plan.request.components
    with backbone.placement.using(*([] if encoder is None else [encoder])):
        if adapter.config.source == "face":
            embedded = _embed_faces(plan, encoder, adapter, components)
            counts = [len(subject.faces) for subject in plan.subjects]
        else:
            assert encoder is not None  # the plan was checked
            embedded = adapter.embed(encode_photos(encoder, plan.subjects, photos), components=components)
            embedded = with_blank_photos(embedded, encoder, adapter, components, photos)
            counts = [len(subject.photos) for subject in plan.subjects]
    return balanced(embedded, counts) if plan.request.balance_photos else embedded


def _embed_faces(
    plan: Plan, encoder: ImageEncoder | None, adapter: MMDiffAdapter, components: Components
) -> SubjectEmbeddings:
    """Return the subjects of an adapter that reads faces, and perhaps photos beside them."""
    like = next(adapter.parameters())
    if encoder is None:
        features, identity = face_embeddings(plan.subjects, like)
    else:
        features, identity = encode_face_subjects(encoder, plan.subjects)
    embedded = adapter.embed(features, identity, components)
    embedded = with_token_weights(embedded, token_weights(plan.subjects, adapter.config.tokens))
    return with_blank_photos(embedded, encoder, adapter, components)


def with_blank_photos(
    subjects: SubjectEmbeddings,
    encoder: ImageEncoder | None,
    adapter: MMDiffAdapter,
    components: Components = ALL_COMPONENTS,
    cache: PhotoCache | None = None,
) -> SubjectEmbeddings:
    """Add what the unconditional half sees, where the adapter was trained to see blank photos there (IP-Adapter)."""
    count = subjects.tokens.shape[1] // adapter.config.tokens
    if adapter.config.unconditional == "none" or count == 0:
        return subjects
    patches = subjects.tokens.new_zeros(0, adapter.config.patch_width)
    if adapter.config.reads_patches and encoder is not None:
        patches = (encode_photo if cache is None else cache.encode)(encoder, encoder.blank).patches
    blank = adapter.blank_tokens(patches, components).repeat(count, 1)  # (K, D)
    return replace(subjects, blank=blank.expand_as(subjects.tokens))


def encode_photos(encoder: ImageEncoder, subjects: Sequence[Subject], cache: PhotoCache | None = None) -> ImageFeatures:
    """Encode the photos of a request (B = 1), padded to the most photos of a subject.

    Each photo is encoded by itself, so that the others of a request, and the cache, change nothing in it.
    """
    most = max(len(subject.photos) for subject in subjects)
    present = torch.tensor([[p < len(subject.photos) for p in range(most)] for subject in subjects])[None]
    encode = encode_photo if cache is None else cache.encode
    encoded = [encode(encoder, photo) for subject in subjects for photo in subject.photos]
    cls, patches = torch.stack([x.cls for x in encoded]), torch.stack([x.patches for x in encoded])
    present = present.to(cls.device)
    return ImageFeatures(_scatter(cls, present), _scatter(patches, present), present)


def encode_face_subjects(encoder: ImageEncoder, subjects: Sequence[Subject]) -> tuple[ImageFeatures, Tensor]:
    """Return the face variant's features and the face embeddings (1, S, P, 512) that go with them."""
    most = max(len(subject.faces) for subject in subjects)
    crops = torch.zeros(1, len(subjects), most, 3, encoder.size, encoder.size)
    embeddings = torch.zeros(1, len(subjects), most, FACE_WIDTH)
    present = torch.zeros(1, len(subjects), most, dtype=torch.bool)
    for s, subject in enumerate(subjects):
        for p, face in enumerate(subject.faces):
            crops[0, s, p] = prepare_photo(face.crop, encoder.size, encoder.fit)
            embeddings[0, s, p] = torch.tensor(face.embedding)
            present[0, s, p] = True
    photos = torch.stack([prepare_photo(subject.photos[0], encoder.size, encoder.fit) for subject in subjects])[None]
    features = encode_faces(encoder, photos, crops, present)
    return features, embeddings.to(features.cls)


def face_embeddings(subjects: Sequence[Subject], like: Tensor) -> tuple[ImageFeatures, Tensor]:
    """Return what :func:`encode_face_subjects` returns for an adapter that reads nothing but face embeddings.

    Args:
        subjects: of the request.
        like: gives precision and device.
    """
    most = max(len(subject.faces) for subject in subjects)
    embeddings = like.new_zeros(1, len(subjects), most, FACE_WIDTH)
    present = torch.zeros(1, len(subjects), most, dtype=torch.bool, device=like.device)
    for s, subject in enumerate(subjects):
        for p, face in enumerate(subject.faces):
            embeddings[0, s, p] = torch.tensor(face.embedding)
            present[0, s, p] = True
    nothing = like.new_zeros(1, len(subjects), most, 0)
    return ImageFeatures(nothing, nothing[..., None], present), embeddings


def encode_faces(encoder: ImageEncoder, photos: Tensor, crops: Tensor, present: Tensor) -> ImageFeatures:
    """Return the face variant's features: one photo of a subject is for its word, its faces give the patches.

    Args:
        encoder: the image encoder, whose own tower for words sees the photos.
        photos: (B, S, 3, h, w) in [0, 1].
        crops: (B, S, P, 3, h, w) in [0, 1], aligned faces.
        present: (B, S, P) bool.
    """
    cls = torch.unflatten(encoder.encode_words(photos.flatten(0, 1)), 0, present.shape[:2])  # (B, S, Dv)
    patches = encoder.encode_patches(crops[present])  # (n, M, Dh)
    present = present.to(cls.device)
    return ImageFeatures(cls[:, :, None].expand(-1, -1, present.shape[2], -1), _scatter(patches, present), present)


def with_token_weights(subjects: SubjectEmbeddings, weights: Tensor | None) -> SubjectEmbeddings:
    """Weigh the subjects' tokens by ``weights`` (B, K); None, or no tokens at all, leaves them equal."""
    if weights is None or subjects.tokens.shape[1] == 0:
        return subjects
    return replace(subjects, weights=weights.to(subjects.tokens.device))


def balanced(subjects: SubjectEmbeddings, counts: Sequence[int]) -> SubjectEmbeddings:
    """Weigh each subject's tokens by one over its photos, so that many photos outweigh no other subject's few.

    Args:
        subjects: of one request.
        counts: of each subject's photos.
    """
    if max(counts) == 1 or subjects.tokens.shape[1] == 0:
        return subjects
    shares = torch.tensor([1 / number for number in counts], device=subjects.tokens.device)[subjects.owners][None]
    return replace(subjects, weights=shares if subjects.weights is None else subjects.weights * shares)


def encode_pixels(encoder: ImageEncoder, pixels: Tensor, present: Tensor) -> ImageFeatures:
    """Encode a batch of photos; padding is not encoded and gives zeros.

    Args:
        encoder: the image encoder.
        pixels: (B, S, P, 3, R, R) in [0, 1].
        present: (B, S, P) bool.
    """
    cls, patches = encoder.encode(pixels[present])  # (n, Dv), (n, M, Dh)
    present = present.to(cls.device)
    return ImageFeatures(_scatter(cls, present), _scatter(patches, present), present)


def _scatter(values: Tensor, present: Tensor) -> Tensor:
    """Scatter (n, ...) to (B, S, P, ...) with zeros where nothing is present."""
    full = values.new_zeros(*present.shape, *values.shape[1:])
    return full.index_put(present.nonzero(as_tuple=True), values)


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
    """
    adapter = adapter if components.use_photos else None
    text = encode_prompts(backbone, tokens, adapter, subjects, clip_skip)
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
    if negative is not None:
        condition = _with_unconditional_half(
            condition, backbone.encode_negative(negative, _text_deltas(backbone, adapter))
        )
    condition = replace(condition, added=backbone.added_conditions(condition.text, size, guidance))
    if adapter is None:
        return condition
    if subjects is not None and subjects.blank is not None:
        subjects, scales = condition.subjects, condition.scales  # of both halves
    # Else the unconditional half sees no photo, so that the image term is made for the conditional rows alone.
    layers = adapter.condition_layers(weights, condition.text.states, subjects, scales, components.null_token)
    return condition.with_layers(with_recorded_keys(layers, condition) if recorded else layers)


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
