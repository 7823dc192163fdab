"""From a plan's photos to subject embeddings: features (CLS, patches), subject tokens, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmdiff_core.backbones.base import Backbone
from mmdiff_core.encoders.face import token_weights
from mmdiff_core.encoders.image import ImageEncoder
from mmdiff_core.encoders.photo import prepare_photo
from mmdiff_core.encoders.photo_cache import PhotoCache, encode_photo
from mmdiff_core.encoders.text import encode_phrases
from mmdiff_core.generation.regions import region_box
from mmdiff_core.generation.request_plan import Plan
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.config import FACE_WIDTH
from mmdiff_core.nn.records import ImageFeatures, SubjectEmbeddings
from mmdiff_core.types import ALL_COMPONENTS, Components, Subject


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
            features = encode_photos(encoder, plan.subjects, photos)
            embedded = adapter.embed(
                features, components=components, grounding=ground_subjects(plan, backbone, adapter)
            )
            embedded = with_blank_photos(embedded, encoder, adapter, components, photos)
            counts = [len(subject.photos) for subject in plan.subjects]
    return balanced(embedded, counts) if plan.request.balance_photos else embedded


def ground_subjects(plan: Plan, backbone: Backbone, adapter: MMDiffAdapter) -> Tensor | None:
    """Return each subject's encoded name and its box (1, S, Dp + 4), for adapters that read them.

    The box of a subject without a region is empty: 0.
    """
    if not adapter.config.phrase_width:
        return None
    encoder = backbone.text_encoders[0]
    with backbone.placement.using(encoder):
        phrases = encode_phrases(encoder, backbone.tokenizers[0], plan.names)
    boxes = torch.tensor([region_box(subject.region) for subject in plan.subjects]).to(phrases)
    return torch.cat([phrases, boxes], dim=-1)[None]


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
