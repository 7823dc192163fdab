"""The DreamBench suite: a folder per subject, 25 prompts each, and pairs of subjects, with the field's measures."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from PIL import Image
from torch import Tensor

from mmdiff_core.encoders.photo import load_photo
from mmdiff_core.errors import SettingsError
from mmdiff_core.evaluation.dreambench.prompts import CLASSES, LIVE, pair_prompts, prompts_of
from mmdiff_core.evaluation.dreambench.similarity import Evaluators, mean_cosine
from mmdiff_core.pipeline import Personalizer
from mmdiff_core.types import GenerateRequest, Subject

IMAGES = 4  # per prompt, as published
PAIRS = 30
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
OWN_CLASSES = "classes.txt"  # lines "name,class" or "name,class,live", for subjects that are not DreamBench's


@dataclass(frozen=True)
class DreamBenchSubject:
    """A subject of the dataset."""

    name: str
    class_name: str  # its word in the prompt
    live: bool
    photos: tuple[Path, ...]


@dataclass(frozen=True)
class DreamBenchCase:
    """One prompt about one subject or two."""

    subjects: tuple[DreamBenchSubject, ...]
    number: int
    prompt: str

    @property
    def key(self) -> str:
        """Return a key that no other case has."""
        return f"{'+'.join(subject.name for subject in self.subjects)}/{self.number:02}"


@dataclass(frozen=True)
class DreamBenchScores:
    """The measures of one image, as rows-RANK.jsonl has them; of two subjects the mean of both."""

    key: str
    subjects: int
    prompt: str
    seed: int
    clip_i: float
    dino: float
    clip_t: float
    seconds: float  # to make it
    face: float | None = None  # None: not compared, or no face in the image
    faces_sought: bool = False


@dataclass(frozen=True)
class DreamBenchOptions:
    """What to measure, and how much of it."""

    dataset: Path
    folder: Path
    prompts: int | None = None  # of each subject; None: all
    images: int = IMAGES
    pairs: int = PAIRS
    references: int = 1  # photos of a subject that the model gets; images are compared with all
    steps: int | None = None
    guidance: float | None = None


def read_subjects(dataset: Path) -> tuple[DreamBenchSubject, ...]:
    """Read the subjects of a folder in DreamBench's layout: a folder of photos for each.

    Raises:
        SettingsError: there is no subject, or one has no known class or no photo.
    """
    if not dataset.is_dir():
        raise SettingsError(f'There is no folder "{dataset}": give --dataset a folder in DreamBench\'s layout.')
    classes = {name: (class_name, class_name in LIVE) for name, class_name in CLASSES.items()} | _own_classes(
        dataset / OWN_CLASSES
    )
    found = tuple(_read_subject(path, classes) for path in sorted(dataset.iterdir()) if path.is_dir())
    if not found:
        raise SettingsError(f'The folder "{dataset}" contains no folder of photos.')
    return found


def _read_subject(folder: Path, classes: Mapping[str, tuple[str, bool]]) -> DreamBenchSubject:
    if folder.name not in classes:
        raise SettingsError(
            f'"{folder.name}" is no subject of DreamBench: write a line "{folder.name},its class" into '
            f'"{folder.parent / OWN_CLASSES}"; add ",live" if it is a living being.'
        )
    photos = tuple(path for path in sorted(folder.iterdir()) if path.suffix.lower() in PHOTO_SUFFIXES)
    if not photos:
        raise SettingsError(f'The folder "{folder}" contains no photo.')
    return DreamBenchSubject(folder.name, *classes[folder.name], photos)


def _own_classes(path: Path) -> dict[str, tuple[str, bool]]:
    """Read lines ``name,class[,live]``."""
    classes = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) in (2, 3) and all(parts):
            classes[parts[0]] = (parts[1], parts[2:] == ["live"])
        elif line.strip():
            raise SettingsError(
                f'In "{path}" the line "{line}" cannot be read: write "name,class" or "name,class,live".'
            )
    return classes


def draw_dreambench_cases(
    subjects: Sequence[DreamBenchSubject], prompts: int | None, pairs: int
) -> list[DreamBenchCase]:
    """Combine each subject with its first ``prompts`` prompts, then draw pairs of classes, the same every time."""
    single = [
        DreamBenchCase((subject,), number, prompt)
        for subject in subjects
        for number, prompt in enumerate(prompts_of(subject.class_name, subject.live)[:prompts])
    ]
    possible = [(a, b) for n, a in enumerate(subjects) for b in subjects[n + 1 :] if a.class_name != b.class_name]
    chosen = random.Random("dreambench pairs").sample(possible, min(pairs, len(possible)))
    double = [
        DreamBenchCase(pair, number, prompt)
        for pair in chosen
        for number, prompt in enumerate(pair_prompts(pair[0].class_name, pair[1].class_name)[:prompts])
    ]
    return [*single, *double]


class DreamBench:
    """Generates the images of cases with one model, and measures them."""

    def __init__(self, personalizer: Personalizer, evaluators: Evaluators, options: DreamBenchOptions) -> None:
        self.personalizer, self.evaluators, self.options = personalizer, evaluators, options
        self._known: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {}

    def scores(self, case: DreamBenchCase) -> Iterator[tuple[DreamBenchScores, Image.Image]]:
        """Generate and measure the images of a case."""
        request = GenerateRequest(
            case.prompt,
            tuple(self._subject(known) for known in case.subjects),
            seeds=tuple(range(self.options.images)),
            steps=self.options.steps,
            guidance=self.options.guidance,
            recording=None,
        )
        start = time.perf_counter()
        for step in self.personalizer.generate(request):
            if step.finished is not None:
                seconds = time.perf_counter() - start
                yield self._score(case, step.finished.seed, step.finished.image, seconds), step.finished.image
                start = time.perf_counter()

    def _subject(self, known: DreamBenchSubject) -> Subject:
        return Subject(known.class_name, tuple(map(load_photo, known.photos[: self.options.references])))

    def _score(self, case: DreamBenchCase, seed: int, image: Image.Image, seconds: float) -> DreamBenchScores:
        seen = self.evaluators.clip_images([image])
        dino = self.evaluators.dino_images([image])
        own = [self._photos(known) for known in case.subjects]
        faces = [self.evaluators.face_similarity(image, face) for _, _, face in own if face is not None]
        found = [face for face in faces if face is not None]
        return DreamBenchScores(
            key=case.key,
            subjects=len(case.subjects),
            prompt=case.prompt,
            seed=seed,
            clip_i=fmean([mean_cosine(seen, clip) for clip, _, _ in own]),
            dino=fmean([mean_cosine(dino, photos) for _, photos, _ in own]),
            clip_t=mean_cosine(seen, self.evaluators.clip_text(case.prompt)),
            seconds=seconds,
            face=fmean(found) if found else None,
            faces_sought=bool(faces),
        )

    def _photos(self, known: DreamBenchSubject) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return CLIP, DINO and face embeddings of all photos of a subject, computed once."""
        if known.name not in self._known:
            photos = [load_photo(path) for path in known.photos]
            embeddings = self.evaluators.clip_images(photos), self.evaluators.dino_images(photos)
            self._known[known.name] = (*embeddings, self.evaluators.face_embeddings(photos))
        return self._known[known.name]
