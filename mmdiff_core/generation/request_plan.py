"""A request is found good, or named what is wrong with it, before any work is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmdiff_core.backbones.base import Backbone, Defaults
from mmdiff_core.backbones.schedulers import change_solver, check_scheduler, check_steps
from mmdiff_core.encoders.face import FaceAnalyser, with_faces
from mmdiff_core.encoders.photo import load_photo, read_photo
from mmdiff_core.encoders.prompt import MAX_CHUNKS, find_words, other_words, pad_chunks, tokenize, word_tokens
from mmdiff_core.encoders.prompt_weights import read_weights, without_trigger_weights
from mmdiff_core.errors import ModelError, PhotoError, SettingsError
from mmdiff_core.generation.regions import read_regions
from mmdiff_core.generation.sampling import SampleSettings
from mmdiff_core.maps.attention_maps import AttentionMaps
from mmdiff_core.nn.adapter import MMDiffAdapter
from mmdiff_core.nn.config import FACE_WIDTH
from mmdiff_core.nn.records import PromptTokens
from mmdiff_core.types import (
    MAX_GUIDANCE,
    MAX_SCALE,
    MAX_SEED,
    MAX_STEPS,
    GenerateRequest,
    Recording,
    Size,
    Subject,
    Word,
)


@dataclass(frozen=True)
class Plan:
    """A request that was found good, with every open number decided, the prompt read and the photos brought to RGB."""

    request: GenerateRequest
    prompt: str  # without triggers
    subjects: tuple[Subject, ...]
    words: tuple[Word, ...]
    tokens: tuple[PromptTokens, ...]  # one per text encoder
    negative: tuple[PromptTokens, ...] | None  # None: no guidance, so that only the conditional half runs
    numbers: SampleSettings  # of the first image; the others differ in the seed
    regions: Tensor | None = None  # (1, S, h, w) in [0, 1] at the size of the latents; None: no subject has one
    others: Mapping[Word, tuple[int, ...]] = field(
        default_factory=dict
    )  # the other words that are recorded, and their tokens
    photo_tokens: tuple[tuple[int, ...], ...] = ()  # subject tokens of each photo whose maps are recorded
    photos: tuple[tuple[int, int], ...] = ()  # subject and number of each of these photos

    @property
    def names(self) -> tuple[str, ...]:
        """Return the subjects' words as they stand in the prompt."""
        return tuple(word.text for word in self.words)

    @property
    def recording(self) -> Recording | None:
        """Return what to record; None if no photo of the subjects enters, or without subjects and words."""
        wanted, tokens = self.request.recording, tuple(self.others.values())
        if wanted is None or (self.subjects and not self.request.components.use_photos):
            return None
        if self.subjects:
            groups = self.photo_tokens
            singles = tuple((token,) for photo in groups for token in photo) if wanted.per_token else groups
            return replace(wanted, tokens=tokens, photo_tokens=singles)
        return replace(wanted, kinds=(), tokens=tokens) if tokens else None

    def with_heads(self, per_head: bool) -> Plan:
        """Return the same plan with the attention heads recorded apart or averaged."""
        recording = self.request.recording
        if recording is None:
            return self
        return replace(self, request=replace(self.request, recording=replace(recording, per_head=per_head)))

    @property
    def no_maps(self) -> AttentionMaps:
        """Return the empty maps that an image starts with."""
        return AttentionMaps(self.names, others=tuple(word.text for word in self.others), photos=self.photos)


def plan_request(
    request: GenerateRequest,
    backbone: Backbone,
    adapter: MMDiffAdapter | None,
    analyser: FaceAnalyser | None = None,
) -> Plan:
    """Check everything about a request; an adapter of the face variant has the faces found in the photos here.

    Raises:
        PromptError: prompt and subjects do not fit together.
        PhotoError: a subject has no photo, or one that cannot be used; or a photo shows no face.
        SettingsError: a number is out of the model's range.
        ModelError: there are subjects, but no adapter that knows what to do with them, or nothing that finds faces.
    """
    backbone.check_state()
    if adapter is not None:
        _check_precision(backbone, adapter)
    avoided = request.negative_prompt or ""
    check_scheduler(request.scheduler, backbone.schedulers)
    network, solver = backbone.sampled_by(request.scheduler)
    if network is not backbone:
        request = _as_student(request, network.defaults)
    numbers = decide_numbers(request, defaults_of(network, adapter), backbone.sizes)
    check_steps(change_solver(network.fresh_scheduler(), solver), numbers.steps)
    _check_range("The clip skip", request.clip_skip, 0, backbone.max_clip_skip)
    text, weights = read_weights(request.prompt)
    prompt, words = find_words(text, [subject.name for subject in request.subjects])
    weights = without_trigger_weights(text, weights)
    tokens, negative = _tokenize_both(backbone, (prompt, words, weights), avoided)
    subjects = tuple(_check_subject(subject) for subject in request.subjects)
    if subjects:
        _check_model(backbone, adapter)
    if adapter is not None and adapter.config.source == "face":
        subjects = tuple(_check_faces(with_faces(subject, analyser)) for subject in subjects)
    elif chosen := [subject.name for subject in subjects if subject.choices]:
        raise SettingsError(f'This adapter reads no faces: leave the choice of faces of "{chosen[0]}" out.')
    regions = read_regions(
        subjects, (numbers.width // backbone.sizes.multiple, numbers.height // backbone.sizes.multiple)
    )
    others = {}
    if request.recording is not None and request.recording.words:
        others = word_tokens(backbone.tokenizers[0], prompt, other_words(prompt, words), MAX_CHUNKS)
    guiding = negative if numbers.guidance > 1 and not backbone.embeds_guidance else None
    image = _fitted(request.image, numbers)
    request = replace(request, negative_prompt=avoided, image=image)
    photos, photo_tokens = _recorded_photos(request, subjects, adapter)
    return Plan(request, prompt, subjects, words, tokens, guiding, numbers, regions, others, photo_tokens, photos)


def _as_student(request: GenerateRequest, own: Defaults) -> GenerateRequest:
    """Return a request as a student for few steps meets it: in its own steps at most, without guidance.

    A start step keeps its place on the way. Numbers that are out of range are left to the checks.
    """
    asked = own.steps if request.steps is None else request.steps
    steps, start = min(asked, own.steps), request.start_step
    if start is not None and asked > steps and 0 <= start <= asked <= MAX_STEPS:
        start = round(start * steps / asked)
    return replace(request, steps=steps, guidance=own.guidance, start_step=start)


def _recorded_photos(
    request: GenerateRequest, subjects: Sequence[Subject], adapter: MMDiffAdapter | None
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, ...], ...]]:
    """Return subject and number of each photo, or face, that is recorded by itself, and its subject tokens."""
    recording = request.recording
    if adapter is None or recording is None or not (recording.per_photo or recording.per_token):
        return (), ()
    counts = [len(subject.faces if adapter.config.source == "face" else subject.photos) for subject in subjects]
    most, each = max(counts, default=0), adapter.config.tokens
    photos = tuple((s, p) for s, count in enumerate(counts) for p in range(count))
    return photos, tuple(tuple(range((s * most + p) * each, (s * most + p + 1) * each)) for s, p in photos)


def _tokenize_both(
    backbone: Backbone, prompt: tuple[str, Sequence[Word], Sequence[float]], avoided: str
) -> tuple[tuple[PromptTokens, ...], tuple[PromptTokens, ...]]:
    """Return prompt and negative prompt for each text encoder, all of one length."""
    without, weights = read_weights(avoided)
    both = [
        *(tokenize(tokenizer, *prompt, MAX_CHUNKS) for tokenizer in backbone.tokenizers),
        *(tokenize(tokenizer, without, (), weights, MAX_CHUNKS) for tokenizer in backbone.tokenizers),
    ]
    padded, encoders = pad_chunks(both), len(backbone.tokenizers)
    return padded[:encoders], padded[encoders:]


def defaults_of(backbone: Backbone, adapter: MMDiffAdapter | None) -> Defaults:
    """Return the numbers for a request that leaves them open: the adapter's delay, else the backbone's."""
    return backbone.defaults if adapter is None else replace(backbone.defaults, start_step=adapter.config.start_step)


def decide_numbers(request: GenerateRequest, defaults: Defaults, sizes: Size) -> SampleSettings:
    """Return the request's numbers, with the defaults where it leaves them open.

    Raises:
        SettingsError: one is out of range; the message gives the range.
    """
    steps = defaults.steps if request.steps is None else request.steps
    guidance = defaults.guidance if request.guidance is None else request.guidance
    start_step = min(defaults.start_step, steps) if request.start_step is None else request.start_step
    width = sizes.default[0] if request.width is None else request.width
    height = sizes.default[1] if request.height is None else request.height

    _check_range("The number of steps", steps, 1, MAX_STEPS)
    _check_range("The guidance", guidance, 0, MAX_GUIDANCE)
    _check_range("The start step", start_step, 0, steps)
    _check_range("The word gating", request.word_gating, 0, 1)
    _check_range("The guidance rescale", request.guidance_rescale, 0, 1)
    for what, side in (("The width", width), ("The height", height)):
        _check_range(what, side, sizes.smallest, sizes.largest)
        if side % sizes.multiple:
            raise SettingsError(f"{what} must be a multiple of {sizes.multiple} pixels, but is {side}.")
    if not request.seeds:
        raise SettingsError("There is no seed: give one for each image.")
    for seed in request.seeds:
        _check_range("A seed", seed, 0, MAX_SEED)
    return SampleSettings(
        *(request.seeds[0], steps, guidance, start_step, width, height, request.scheduler, request.guidance_rescale),
        left_out=_left_out(request, steps),
    )


def _left_out(request: GenerateRequest, steps: int) -> int:
    """Return how many first steps are left out because the image starts from another; one at least is made."""
    if request.image is None:
        return 0
    if not 0 < request.image_strength <= 1:
        raise SettingsError(f"The image strength must be above 0 and at most 1, but is {request.image_strength}.")
    return steps - max(1, int(steps * request.image_strength))


def _fitted(image: Image.Image | None, numbers: SampleSettings) -> Image.Image | None:
    """Return an image to start from in the size of the request; what does not fit is cut off around its middle."""
    if image is None:
        return None
    size = (numbers.width, numbers.height)
    loaded = load_photo(image, "The image to start from")
    return loaded if loaded.size == size else ImageOps.fit(loaded, size, Image.Resampling.LANCZOS)


def _check_precision(backbone: Backbone, adapter: MMDiffAdapter) -> None:
    """Check that model and adapter compute in the same precision, or that torch takes care of it, as in training."""
    own, wanted = next(adapter.parameters()).dtype, backbone.unet.dtype
    if own != wanted and not torch.is_autocast_enabled(backbone.device.type):
        raise ModelError(
            f"The adapter is in {own} and the model in {wanted}: make a new Personalizer with adapter.to({wanted})."
        )


def _check_model(backbone: Backbone, adapter: MMDiffAdapter | None) -> None:
    """Check that the model can show photos."""
    if adapter is None or (backbone.image_encoder is None and adapter.config.reads_images):
        part = "adapter" if adapter is None else "image encoder"
        raise ModelError(
            f'The model "{backbone.display_name}" was loaded without an {part}, so it can show no photo: load one.'
        )


def _check_subject(subject: Subject) -> Subject:
    """Return the subject with upright RGB photos, or pixels that can be used."""
    _check_range(f'The scale of "{subject.name}"', subject.scale, 0, MAX_SCALE)
    if not subject.photos:
        raise PhotoError(f'The subject "{subject.name}" has no photo: add at least one.')
    names = (f"{number} of {subject.name}" for number in range(1, len(subject.photos) + 1))
    return replace(subject, photos=tuple(map(read_photo, subject.photos, names)))


def _check_faces(subject: Subject) -> Subject:
    """Return the subject with upright RGB faces, or pixels that can be used."""
    for face in subject.faces:
        if len(face.embedding) != FACE_WIDTH or not all(map(math.isfinite, face.embedding)):
            raise PhotoError(f'A face embedding of "{subject.name}" is not {FACE_WIDTH} finite numbers.')
    faces = (replace(face, crop=read_photo(face.crop, f'A face of "{subject.name}"')) for face in subject.faces)
    return replace(subject, faces=tuple(faces))


def describe_choices(subject: Subject) -> list[list[float]]:
    """Return the chosen faces for an image's settings: [number from the left, weight] of each photo."""
    return [[choice.face or 0, choice.weight] for choice in subject.choices]


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise SettingsError(f"{what} must be from {low} to {high}, but is {value}.")
