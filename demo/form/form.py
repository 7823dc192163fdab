"""What the page's fields hold, unchecked, and the request that it becomes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from demo.form.value_types import is_number
from demo.server.limits import MAX_SUBJECTS, Limits
from demo.server.photo_files import PhotoFiles
from mmdiff_core.errors import PhotoError, PromptError, SettingsError
from mmdiff_core.types import ALL_COMPONENTS, MAX_SEED, Components, FaceChoice, GenerateRequest, Subject

MAX_IMAGES = 4
USUAL_IMAGE_STRENGTH, LEAST_IMAGE_STRENGTH = 0.6, 0.05
OWN_SAMPLER = "own"  # the model's own sampler, None in a request
MAX_CONCEPTS = 8
EMPTY_PROMPT = "The prompt is empty: describe the picture and name each subject in it."
EMPTY_ALONE = "The prompt is empty: describe the picture, or choose an example."


@dataclass(frozen=True)
class SubjectForm:
    """One subject's card. ``slot`` counts from 0 and decides the colour."""

    slot: int
    name: str
    photos: tuple[str, ...]  # paths of uploaded files
    strength: float | None = 1.0
    rejected: tuple[str, ...] = ()  # a sentence about each photo that could not be used
    faces: tuple[FaceChoice, ...] = ()  # one per photo, where the adapter reads faces

    @property
    def blank(self) -> bool:
        """Whether the card has neither a name nor a photo, so that it does not count."""
        return not self.name and not self.photos


@dataclass(frozen=True)
class StartPicture:
    """A picture to start from, the path of a file, and the part of the steps that are made."""

    path: str
    strength: float | None = USUAL_IMAGE_STRENGTH


@dataclass(frozen=True)
class Settings:
    """The settings. None stands for the model's own default, and for a cleared field."""

    seed: float | str | None = 0  # text is what was typed instead of a number
    pictures: float | None = 1
    steps: float | None = None
    guidance: float | None = None
    start_step: float | None = None
    width: float | None = None
    height: float | None = None
    negative_prompt: str = ""
    parts: Components = ALL_COMPONENTS
    sampler: str | None = None
    binding: float | None = 0
    clip_skip: float | None = 0
    guidance_rescale: float | None = 0
    balance_photos: bool = False

    @classmethod
    def of(cls, request: GenerateRequest) -> Settings:
        """Return the settings of a request."""
        return cls(
            seed=request.seeds[0],
            pictures=len(request.seeds),
            steps=request.steps,
            guidance=request.guidance,
            start_step=request.start_step,
            width=request.width,
            height=request.height,
            negative_prompt=request.negative_prompt or "",
            parts=request.components,
            sampler=request.scheduler,
            binding=request.word_gating,
            clip_skip=request.clip_skip,
            guidance_rescale=request.guidance_rescale,
            balance_photos=request.balance_photos,
        )


@dataclass(frozen=True)
class Form:
    """Everything that a person typed and uploaded. Blank cards are left out."""

    prompt: str
    subjects: tuple[SubjectForm, ...]
    settings: Settings = field(default_factory=Settings)
    rejected: tuple[tuple[int, str], ...] = ()  # (slot, sentence), of blank cards too
    start: StartPicture | None = None
    inspected: bool = False  # the prompt alone makes the picture, and all of it has maps
    concepts: tuple[str, ...] = ()  # words that an inspected prompt does not have, but that have maps, too

    @property
    def slots(self) -> tuple[int, ...]:
        """The card of each subject."""
        return tuple(subject.slot for subject in self.subjects)

    @property
    def fingerprint(self) -> str:
        """Return a digest of all that decides what a picture shows, except for its seed."""
        subjects = [replace(subject, rejected=()) for subject in self.subjects]
        decisive = (
            *(self.prompt, subjects, replace(self.settings, seed=None, pictures=None)),
            *(self.start, self.inspected, self.concepts),
        )
        return hashlib.sha256(repr(decisive).encode()).hexdigest()[:12]

    def request(self, limits: Limits | None = None, photo_files: PhotoFiles | None = None) -> GenerateRequest:
        """Read the photos and gather a request; ``Personalizer.plan`` checks the rest.

        Args:
            limits: what is too much is refused before any photo is opened.
            photo_files: photos that were decoded before.

        Raises:
            PromptError: the prompt is empty, a subject has photos and no name, or there are too many concepts.
            PhotoError: there is no subject, a subject has no photo, or a photo cannot be used.
            SettingsError: the seed or the number of pictures is not a whole number in range.
        """
        if not self.prompt:
            raise PromptError(EMPTY_ALONE if self.inspected else EMPTY_PROMPT)
        if not self.subjects and not self.inspected:
            raise PhotoError("There is no subject yet: drop a photo of one and name it, or take a new toy.")
        if limits is not None:
            self._check(limits)
        files = PhotoFiles() if photo_files is None else photo_files  # an empty one is false
        numbers = self.settings
        seed = _whole_within("seed", numbers.seed, 0, MAX_SEED)
        count = _whole_within("number of pictures", numbers.pictures, 1, MAX_IMAGES)
        return GenerateRequest(
            prompt=self.prompt,
            subjects=tuple(_subject(subject, files) for subject in self.subjects),
            negative_prompt=numbers.negative_prompt,
            seeds=tuple((seed + i) % (MAX_SEED + 1) for i in range(count)),
            steps=_whole("number of steps", numbers.steps),
            guidance=numbers.guidance,
            start_step=_whole("delay", numbers.start_step),
            width=_whole("width", numbers.width),
            height=_whole("height", numbers.height),
            components=numbers.parts,
            scheduler=numbers.sampler,
            word_gating=_binding(numbers.binding),
            clip_skip=_whole("clip skip", numbers.clip_skip) or 0,
            guidance_rescale=float(numbers.guidance_rescale or 0),
            balance_photos=numbers.balance_photos,
            **_started(self.start, files),
        )

    def _check(self, limits: Limits) -> None:
        if len(self.subjects) > MAX_SUBJECTS:
            count = len(self.subjects)
            raise PhotoError(f"There are {count} subjects, but at most {MAX_SUBJECTS} are allowed: remove some.")
        limits.check_words("prompt", ", ".join((self.prompt, *self.concepts)))
        if len(self.concepts) > MAX_CONCEPTS:
            raise PromptError(
                f'"{self.concepts[MAX_CONCEPTS]}" is one further word too many: at most {MAX_CONCEPTS} can have maps.'
            )
        for subject in self.subjects:
            limits.check_words("name of a subject", subject.name)
            limits.check_photos(subject.name, len(subject.photos))


def _subject(form: SubjectForm, photo_files: PhotoFiles) -> Subject:
    card = form.slot + 1
    if not form.name:
        raise PromptError(f"Subject {card} has photos but no name: give it the words that stand for it in the prompt.")
    if not form.photos:
        raise PhotoError(
            f'Subject {card}, "{form.name}", has no photo: drop one, take a new toy, or remove the subject.'
        )
    if form.strength is None:
        raise SettingsError(f'Subject {card}, "{form.name}", has no strength: give it a number, 1 for the usual one.')
    photos = tuple(photo_files.load(path, f"{Path(path).name} ({form.name})") for path in form.photos)
    return Subject(form.name, photos, form.strength, choices=form.faces)


def _started(start: StartPicture | None, photo_files: PhotoFiles) -> dict[str, Any]:
    """Return what a picture to start from adds to a request."""
    if start is None:
        return {}
    if start.strength is None:
        raise SettingsError("The strength of the picture to start from is empty: give a number above 0 and up to 1.")
    return {"image": photo_files.load(start.path, Path(start.path).name), "image_strength": start.strength}


def typed_seed(typed: object) -> int | float | str | None:
    """Return a seed as a number, or what was typed if it is none; None where nothing was typed.

    Its field holds text, because browsers hold no number above 2**53 exactly.
    """
    if not isinstance(typed, str):
        return typed if typed is None or is_number(typed) else str(typed)
    typed = typed.strip()
    return int(typed) if re.fullmatch(r"-?[0-9]{1,40}", typed) else typed or None


def _whole_within(what: str, value: float | str | None, minimum: int, maximum: int) -> int:
    number = None if isinstance(value, str) else _whole(what, value)
    if number is None or not minimum <= number <= maximum:
        shown = "empty" if value is None else value
        raise SettingsError(f"The {what} must be a whole number from {minimum} to {maximum}; it is {shown}.")
    return number


def _binding(value: float | None) -> float:
    if value is None:
        raise SettingsError("The binding to the words is empty: give a number from 0 to 1.")
    return float(value)


def _whole(what: str, value: float | None) -> int | None:
    """A whole number; fields give 20.0 for 20."""
    if value is not None and not float(value).is_integer():
        raise SettingsError(f"The {what} must be a whole number, not {value}.")
    return None if value is None else int(value)
