"""A Personalizer without a model: coloured discs for subjects, and maps that follow them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFilter
from transformers import PreTrainedTokenizerBase

from demo.page import build_ui, launch_options
from demo.server.limits import Limits, local_limits
from demo.server.photo_files import PhotoFiles
from demo.server.service import Service
from demo.server.sessions import Page
from mmdiff_core.backbones.schedulers import FLOW_SCHEDULERS
from mmdiff_core.encoders.face import FaceAnalyser, with_faces
from mmdiff_core.encoders.prompt import find_words, other_words
from mmdiff_core.errors import SettingsError
from mmdiff_core.generation.model_summary import AdapterSummary, LayerGroup, ModelSummary
from mmdiff_core.generation.request_plan import describe_choices
from mmdiff_core.maps.attention_maps import AttentionMaps, StepMaps
from mmdiff_core.maps.heatmap import colour_of
from mmdiff_core.results import GeneratedImage, Step
from mmdiff_core.toyworld.scenes.vocabulary import FIRST_WORLD, Vocabulary
from mmdiff_core.types import MAP_KINDS, GenerateRequest, MapKind, Size, Word
from mmdiff_core.weights.model_source import ModelSource

Values = dict[Any, Any]  # what fields hold, by component
MAP_SIDE = 32
PATIENCE = 300  # seconds


@contextmanager
def served(stand_in: StandIn | Service, votes: Path | None = None) -> Iterator[str]:
    """The whole page around a stand-in, at the URL that is yielded."""
    with served_page(build_ui(stand_in, votes=votes, example=None)) as url:  # type: ignore[arg-type]
        yield url


@contextmanager
def served_page(page: Page, **options: object) -> Iterator[str]:
    """A page at the URL that is yielded; ``options`` are further ones of ``launch``."""
    options = {**launch_options(page), **options}
    _, url, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **options)
    try:
        yield url
    finally:
        page.close(verbose=False)


@dataclass(frozen=True)
class Defaults:
    """As the real model has them."""

    steps: int = 6
    guidance: float = 3.0
    start_step: int = 1
    few: bool = False
    scheduler: str | None = None


@dataclass(frozen=True)
class Numbers:
    """Of a real plan's those that the page reads."""

    steps: int
    width: int
    height: int

    @property
    def made(self) -> int:
        """Every step: it leaves none out for an image to start from."""
        return self.steps


@dataclass(frozen=True)
class Plan:
    """What the page reads of a real plan."""

    request: GenerateRequest
    prompt: str
    words: tuple[Word, ...]
    steps: int
    start_step: int
    size: tuple[int, int]

    def with_heads(self, per_head: bool) -> Plan:
        """As the real plan has it."""
        recording = self.request.recording
        if recording is None:
            return self
        return replace(self, request=replace(self.request, recording=replace(recording, per_head=per_head)))

    @property
    def numbers(self) -> Numbers:
        """As the real plan has them."""
        return Numbers(self.steps, *self.size)

    @property
    def others(self) -> tuple[Word, ...]:
        """The words that no subject owns, where they are to be recorded."""
        recording = self.request.recording
        return other_words(self.prompt, self.words) if recording and recording.words else ()


@dataclass(frozen=True)
class Backbone:
    """Named as the built-in model, so that the page shows what that one knows."""

    name: str = "toybox"
    vocabulary: Vocabulary = FIRST_WORLD
    schedulers: tuple[str, ...] = tuple(FLOW_SCHEDULERS)
    tokenizers: tuple[PreTrainedTokenizerBase, ...] = ()  # without any, every word counts as read
    max_clip_skip: int = 2

    @property
    def display_name(self) -> str:
        """As the real one has it."""
        return self.name


@dataclass
class StandIn:
    """Deterministic and quick. ``pause`` slows every step, ``held`` stops before one; ``log`` tells what happened."""

    pause: float = 0.0
    sizes: Size = field(default_factory=lambda: Size((256, 256), 128, 384, 64))
    defaults: Defaults = field(default_factory=Defaults)
    fast: Defaults | None = None
    backbone: Backbone = field(default_factory=Backbone)
    origin: ModelSource = field(default_factory=ModelSource)
    log: list[str] = field(default_factory=list)
    asked: list[GenerateRequest] = field(default_factory=list)  # every request that was carried out
    go: Event = field(default_factory=Event)
    held_at: tuple[int, int, int | None] | None = None
    fails_at: tuple[int, int] | None = None  # a picture and a step, from 1, at which the work ends with an error
    faces: FaceAnalyser | None = None  # as of an adapter that reads them
    adapter: None = None
    limits: Limits = field(default_factory=local_limits)  # for panels that are made without a service
    photo_files: PhotoFiles = field(default_factory=PhotoFiles)

    @contextmanager
    def held(self, picture: int, step: int, seed: int | None = None) -> Iterator[None]:
        """Inside, work waits before that step of that picture (from 1); it goes on at the end, or with ``release``.

        With ``seed``: of a run in which that picture has it.
        """
        self.held_at = (picture, step, seed)
        self.go.clear()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let work go on."""
        self.held_at = None
        self.go.set()

    def summary(self, image_size: tuple[int, int] | None = None) -> ModelSummary:
        """Sizes of nothing, in the layout of the real ones."""
        width, height = image_size or self.sizes.default
        size = (height // 8, width // 8)
        return ModelSummary(
            image_size=(width, height),
            latents=(4, *size),
            photo_side=64,
            patches=16,
            patch_width=32,
            cls_width=24,
            text_tokens=20,
            text_width=48,
            groups=(LayerGroup(size, 2, 1),),
            adapter=AdapterSummary(4, 2, 8, True, True, True),
            parameters={"unet": 3_000_000, "vae": 0, "text": 0, "image": 0, "adapter": 500_000},
        )

    def plan(self, request: GenerateRequest) -> Plan:
        """The checks that the page's tests need, with the real prompt reading."""
        prompt, words = find_words(request.prompt, [subject.name for subject in request.subjects])
        if self.faces is not None:
            subjects = tuple(with_faces(subject, self.faces) for subject in request.subjects)
            request = replace(request, subjects=subjects)
        steps = self.defaults.steps if request.steps is None else request.steps
        if not 1 <= steps <= 50:
            raise SettingsError(f"The number of steps must be from 1 to 50, but is {steps}.")
        if not all(0 <= subject.scale <= 3 for subject in request.subjects):
            raise SettingsError("The strength must be from 0 to 3.")
        start = self.defaults.start_step if request.start_step is None else request.start_step
        width, height = self.sizes.default
        size = (request.width or width, request.height or height)
        return Plan(request, prompt, words, steps, min(start, steps), size)

    def run(self, plan: Plan, photos: object = None) -> Iterator[Step]:
        """One disc per subject, sharper with every step."""
        return self._steps(plan)

    def generate(self, request: GenerateRequest, photos: object = None) -> Iterator[Step]:
        """One disc per subject, sharper with every step."""
        return self.run(self.plan(request))

    def _steps(self, plan: Plan) -> Iterator[Step]:
        pictures: tuple[GeneratedImage, ...] = ()
        seeds = plan.request.seeds
        self.log.append(f"start {seeds}")
        self.asked.append(plan.request)
        try:
            for index, seed in enumerate(seeds):
                subjects, others = (tuple(word.text for word in words) for words in (plan.words, plan.others))
                maps = AttentionMaps(subjects, others=others) if subjects else None
                for number in range(1, plan.steps + 1):
                    time.sleep(self.pause)
                    if self.held_at in ((index + 1, number, None), (index + 1, number, seed)):
                        assert self.go.wait(PATIENCE), "held and forgotten"
                    if self.fails_at == (index + 1, number):
                        raise MemoryError
                    maps = _with_step(maps, plan, seed, number - 1) if maps else None
                    image = _paint(plan, seed, blur=4 * (plan.steps - number))
                    done = (
                        GeneratedImage(image, seed, maps, plan.words, _settings(plan, seed))
                        if number == plan.steps
                        else None
                    )
                    pictures = (*pictures, done) if done else pictures
                    last = pictures if len(pictures) == len(seeds) else None
                    preview = image.resize((MAP_SIDE, MAP_SIDE))
                    yield Step(index, len(seeds), number, plan.steps, preview, maps, done, last)
            self.log.append("finished")
        except GeneratorExit:
            self.log.append("cancelled")
            raise


def _settings(plan: Plan, seed: int) -> Mapping[str, object]:
    return {
        "model": "stand-in",
        "prompt": plan.request.prompt,
        "negative_prompt": plan.request.negative_prompt,
        "subjects": [
            {"name": subject.name, "strength": subject.scale, "photos": len(subject.photos)}
            | ({"faces": describe_choices(subject)} if subject.choices else {})
            for subject in plan.request.subjects
        ],
        "parts": asdict(plan.request.components),
        "binding": plan.request.word_gating,
        "sampler": plan.request.scheduler,
        "seed": seed,
        "steps": plan.steps,
        "guidance": plan.request.guidance or 3.0,
        "start_step": plan.start_step,
        "width": plan.size[0],
        "height": plan.size[1],
        **({"image_strength": plan.request.image_strength} if plan.request.image else {}),
    }


def _centre(subject: int, count: int, seed: int) -> tuple[float, float]:
    """Where a disc is, in fractions of the picture."""
    return (subject + 0.5) / max(count, 1), 0.55 + 0.04 * ((seed + subject) % 4)


def _paint(plan: Plan, seed: int, blur: int) -> Image.Image:
    (width, height), count = plan.size, len(plan.words)
    sky = Image.linear_gradient("L").resize(plan.size)
    image = Image.merge(
        "RGB", (sky.point(lambda v: 120 + v // 3), sky.point(lambda v: 170 + v // 4), sky.point(lambda _: 215))
    )
    draw = ImageDraw.Draw(image)
    radius = 0.32 * width / max(count, 1)
    for subject in range(count):
        x, y = _centre(subject, count, seed)
        box = (x * width - radius, y * height - radius, x * width + radius, y * height + radius)
        draw.ellipse(box, fill=colour_of(subject + 2))
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur else image


def _with_step(maps: AttentionMaps, plan: Plan, seed: int, step: int) -> AttentionMaps:
    """Blobs on the discs, narrower with every step; no image stream before the photos join."""
    w, h = plan.size[0] * MAP_SIDE // 256, plan.size[1] * MAP_SIDE // 256
    rows = torch.linspace(0, 1, h)[:, None]
    columns = torch.linspace(0, 1, w)[None, :]
    width = 0.3 - 0.2 * step / plan.steps
    count = len(plan.words)
    centres = [_centre(subject, count, seed) for subject in range(count)]
    blobs = torch.stack([torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / width**2) for x, y in centres])
    kinds: dict[MapKind, torch.Tensor] = {
        kind: blobs.half() * 0.4 for kind in MAP_KINDS if kind == "text" or step >= plan.start_step
    }
    if plan.others:  # a band each, from the left to the right
        bands = [(columns * len(plan.others)).floor() == place for place in range(len(plan.others))]
        kinds["words"] = torch.stack([band.expand(h, w) for band in bands]).half() * 0.3
    if plan.request.recording and plan.request.recording.per_head:
        unlike = torch.tensor([1.5, 0.5]).half()[:, None, None]  # the second head sees less
        kinds = {kind: values[:, None] * unlike for kind, values in kinds.items()}
    record = StepMaps(step, "mid_block", (h, w), kinds)
    return replace(maps, records=(*maps.records, record))
